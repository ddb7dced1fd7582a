"""PointNet++ of ModelNet40 without normals: what the point pairs of Squeeze3D see of a cloud, 1,024 numbers.

```text
cloud ─► unit sphere ─► 512 groups of 32 ─► 128 groups of 64 ─► all together ─► feature (1024) ─► [40 classes]
         (points.py)    sa1, radius 0.2     sa2, radius 0.4     sa3            network.py
```

Qi, Yi, Su and Guibas, "PointNet++", 2017, single-scale grouping, in the PyTorch port of Yan (yanx27, MIT), whose
repository holds the weights. Published code starts farthest point sampling at a random point and shuffles the cloud.
Here it starts at the first point, and the order of points stays: the same cloud gives the same feature.

`points.py` needs NumPy alone; `network.py` and `encoder.py` import torch.
"""
