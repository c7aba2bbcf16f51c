# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Install the package, with colcon or pip."""

from collections import defaultdict
from pathlib import Path

from setuptools import find_packages, setup

NAME = 'm2vae_ros'
SHARE = Path('share', NAME)
INSTALLED = ('launch/*.launch.py', 'config/*.yaml', 'config/*.rviz', 'config/*.json',
             'config/*.xml', 'config/models/*.safetensors')


def data_files():
    """Return the files to install besides the modules, as (directory, files) pairs."""
    files = defaultdict(list)
    files[Path('share', 'ament_index', 'resource_index', 'packages')].append(f'resource/{NAME}')
    files[SHARE].append('package.xml')
    root = Path(__file__).resolve().parent
    for pattern in INSTALLED:
        for path in sorted(root.glob(pattern)):
            relative = path.relative_to(root)
            files[SHARE / relative.parent].append(str(relative))
    return [(str(directory), names) for directory, names in files.items()]


setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(exclude=['test', 'test.*']),
    package_data={'m2vae_ros.evaluation.report': ['*.j2']},
    data_files=data_files(),
    python_requires='>=3.10',
    install_requires=[
        'numpy>=1.25',
        'opencv-python-headless>=4.5',
        'PyYAML>=5.4',
        'safetensors>=0.4',
        'setuptools',
        'torch>=2.1',
    ],
    extras_require={
        'learning': ['jinja2>=3', 'lightning>=2.6', 'markupsafe>=2', 'matplotlib>=3.5',
                     'rich>=13', 'rosbags>=0.11.9', 'tensorboardX>=2.6', 'tqdm>=4.57'],
        'benchmarks': ['multivae>=1.0.3', 'scikit-learn>=1.2'],
        'docs': ['myst-parser>=2', 'sphinx>=7.2', 'sphinx-rtd-theme>=2'],
        'test': ['hypothesis>=6.36', 'pytest>=6.2.5', 'pytest-timeout>=2'],
        'lint': ['flake8', 'flake8-builtins', 'flake8-comprehensions', 'flake8-deprecated',
                 'flake8-import-order', 'flake8-quotes', 'mypy', 'pydocstyle', 'ros-ament-flake8',
                 'ros-ament-pep257', 'ruff', 'types-PyYAML', 'types-tqdm'],
    },
    zip_safe=False,
    author='Seed f8673997 maintainers',
    author_email='maintainers@users.noreply.b-seed-f8673997.example',
    maintainer='Seed f8673997 maintainers',
    maintainer_email='maintainers@users.noreply.b-seed-f8673997.example',
    description='Keeps a robot seeing when a sensor dies: fuses camera and LiDAR topics with one '
                'variational encoder per subset of live sensors.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'm2vae = m2vae_ros.cli:main',
            'fusion_node = m2vae_ros.cli:fusion_node',
            'robot_node = m2vae_ros.cli:robot_node',
            'latent_recorder = m2vae_ros.cli:latent_recorder',
        ],
    },
)
