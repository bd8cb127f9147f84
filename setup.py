"""What pyproject.toml has no words for: the wheel has the folder backends/ as the package bcdl.backends."""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py


class WithoutDoor(build_py):
    """Leaves out bcdl/backends.py, a checkout's door to backends/: the package takes its place."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        modules = super().find_package_modules(package, package_dir)
        return [module for module in modules if module[:2] != ("bcdl", "backends")]


setup(
    packages=[*find_packages(include=["bcdl*"]), *(f"bcdl.{name}" for name in find_packages(include=["backends*"]))],
    package_dir={"bcdl.backends": "backends"},
    package_data={
        "bcdl": ["py.typed"],
        "bcdl.report.web": ["page.css", "page.js"],
        "": ["requirements-*.txt"],  # of each backend: what `bcdl env` installs
    },
    cmdclass={"build_py": WithoutDoor},
)
