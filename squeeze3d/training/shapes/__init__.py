"""Endless procedural objects, made from nothing but a seed: practice for networks that learn what objects look like.

```text
seed ─► family (vessel, furniture, frame, ...) ─► parts ─► paint ─► Mesh with vertex colours
```
"""
