# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The site that `make docs` builds: what it says of the package, and that dead links are found."""

from __future__ import annotations

from pathlib import Path
import runpy
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = ElementTree.parse(ROOT / 'package.xml').getroot()
CHECK = ROOT / '.ci' / 'check_links.py'


def checked(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(CHECK), str(folder)], capture_output=True, text=True,
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a small site without a dead link."""
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'index.html').write_text(
        '<h1 id="top">A</h1><a href="sub/page.html#here">B</a><a href="#top">C</a>'
        '<a href="https://nowhere.invalid/x">D</a><img src="sub/a%20picture.png">'
    )
    (tmp_path / 'sub' / 'page.html').write_text('<a name="here"></a><a href="../index.html">E</a>')
    (tmp_path / 'sub' / 'a picture.png').write_bytes(b'')
    return tmp_path


def test_a_site_without_dead_links_passes(site: Path) -> None:
    result = checked(site)
    assert result.returncode == 0, result.stdout
    assert '2 pages, 0 dead links' in result.stdout


@pytest.mark.parametrize('link', ['gone.html', '#gone', 'sub/page.html#gone', 'sub', '../x.png'])
def test_a_dead_link_is_named_with_its_page(site: Path, link: str) -> None:
    (site / 'bad.html').write_text(f'<a href="{link}">F</a>')
    result = checked(site)
    assert result.returncode == 1
    assert f'bad.html: {link}\n' in result.stdout


def test_a_folder_without_pages_is_no_site(tmp_path: Path) -> None:
    assert checked(tmp_path).returncode == 1


def test_rosdoc2_finds_its_configuration_and_the_pages() -> None:
    path = ROOT / MANIFEST.findtext('export/rosdoc2')
    version, config = yaml.safe_load_all(path.read_text())
    assert version == {'type': 'rosdoc2 config', 'version': 1}
    (builder,) = config['builders']
    folder = builder['sphinx']['user_doc_dir']
    # rosdoc2 asks whether it is beside the configuration and reads it beside package.xml.
    for beside in (path.parent, ROOT):
        assert (beside / folder).samefile(ROOT / 'docs')
    assert (ROOT / folder / 'conf.py').is_file()
    assert (ROOT / folder / 'index.rst').is_file()


def test_the_site_names_the_package_as_the_manifest_does() -> None:
    pytest.importorskip('sphinx', reason="needs Sphinx: pip install '.[docs]'")
    settings = runpy.run_path(str(ROOT / 'docs' / 'conf.py'))
    assert settings['project'] == MANIFEST.findtext('name')
    assert settings['release'] == MANIFEST.findtext('version')
    assert settings['author'] == MANIFEST.findtext('author')
    assert {f'api/{room}' for room in settings['PUBLIC']} <= set(
        (ROOT / 'docs' / 'index.rst').read_text().split()
    )


def test_every_public_package_has_its_page() -> None:
    for page in (ROOT / 'docs' / 'api').glob('*.rst'):
        assert f'.. automodule:: m2vae_ros.{page.stem}\n' in page.read_text()
    facades = {
        path.parent.name for path in (ROOT / 'm2vae_ros').glob('*/__init__.py')
        if '__all__' in path.read_text()
    }
    assert {'specs', *facades} == {page.stem for page in (ROOT / 'docs' / 'api').glob('*.rst')}
