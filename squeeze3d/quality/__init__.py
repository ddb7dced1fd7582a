"""How good a decoded asset is: measured on rendered views, judged against a goal, shown to people.

| module | what |
|---|---|
| `measure` | renders both assets on the measuring rig and compares the pictures |
| `figures` | the numbers that come out |
| `goal` | named quality levels and when they are reached |
| `report` | everything `sq3d compare` prints |
| `sheet` | a contact sheet as a PNG |
| `page` | a self-contained HTML page |
| `buffers` | assets as that page draws them, bounded in size |
"""
