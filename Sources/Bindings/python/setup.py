"""The tag of the wheel: with libmemslots inside it is of this machine, else of any."""

from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel

HAS_LIBRARY = any(Path("memslots/_lib").glob("libmemslots.so.*"))


class BinaryDistribution(Distribution):
    def has_ext_modules(self) -> bool:
        return HAS_LIBRARY


class Wheel(bdist_wheel):
    def get_tag(self) -> "tuple[str, str, str]":
        # ctypes loads the library, so that no version of Python is named.
        return ("py3", "none", super().get_tag()[2] if HAS_LIBRARY else "any")


setup(cmdclass={"bdist_wheel": Wheel}, distclass=BinaryDistribution)
