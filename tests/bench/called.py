"""Functions to call in processes of their own, which have to find them."""

import os
import time

from squeeze3d.errors import InputError


def add(a: int, b: int) -> int:
    return a + b


def process_id() -> int:
    return os.getpid()


def threads() -> str:
    return os.environ["OMP_NUM_THREADS"]


def fill(megabytes: int) -> int:
    return len(b"x" * (megabytes << 20))


def refuse() -> None:
    raise InputError("there is nothing to do")


def stumble() -> None:
    raise ZeroDivisionError("a\nb")


def die() -> None:
    os._exit(3)


def be_killed() -> None:
    os.kill(os.getpid(), 9)


def sleep() -> None:
    time.sleep(60)


def talk() -> str:
    print("noise")
    os.write(1, b"more noise")
    return "done"


def tell_and_sleep(path: str) -> None:
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)
