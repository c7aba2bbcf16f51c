# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
The README is short and says first what matters; what the documents name and link to exists.

    python test/test_documents.py [MODEL]

prints the table of reconstruction errors of a model file, as the README shows it.
"""

from __future__ import annotations

from pathlib import Path
import re
import sys

import pytest

from m2vae_ros.cli import COMMANDS
from m2vae_ros.evaluation.relative_errors import format_ratios, RelativeError
from m2vae_ros.installation import RUNTIME
from m2vae_ros.sensors.kinds import message_type
from m2vae_ros.simulation.robot import SENSORS
from m2vae_ros.vae.header import read_header
from support.documents import anchors, code, INSTALLATION, README, ROOT, rows, section

DOCUMENTS = sorted([ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *(ROOT / 'docs').rglob('*.md')])
MODEL = ROOT / 'config' / 'models' / 'default.safetensors'
README_WORDS = 1500  # at most; what a roboticist reads in five minutes
COMMENT, END = '<!-- reconstruction table -->', '<!-- end -->'


def reconstruction_table(model: Path) -> str:
    """Return the README's table of reconstruction errors, from the header of a model file."""
    measured = read_header(model).evaluation['reconstruction']
    errors = [
        RelativeError(e['sensor'], tuple(e['from']), e['error'], e['mean_predictor_error'])
        for e in measured
    ]
    return f'```text\n{format_ratios(errors)}\n```'


def test_the_first_statement_is_not_to_trust_the_shipped_model() -> None:
    first = README.split('\n\n')[1]
    assert 'knows only a simulated world' in first
    assert 'train on your own bags before you trust' in first.replace('\n', ' ')


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len(README.split()) <= README_WORDS  # as wc -w counts


def test_the_readme_leads_to_every_document() -> None:
    listed = section(README, 'Where to read on')
    of_the_site = re.compile(r'\{(toctree|include)\}')  # MyST: such a page only arranges others
    pages = [page for page in (ROOT / 'docs').glob('*.md')
             if not of_the_site.search(page.read_text())]
    assert [page.name for page in pages if f'(docs/{page.name})' not in listed] == []


def test_the_table_of_the_shipped_sensors_is_that_of_their_specs() -> None:
    expected = []
    for spec in SENSORS:
        sees = 'the whole image, resized'
        if spec.geometry:
            sides = {'angle': 'azimuth', 'azimuth': 'azimuth', 'elevation': 'elevation'}
            sees = ', '.join([
                f'{word} {spec.geometry[f"{key}_min"]:.3g} .. {spec.geometry[f"{key}_max"]:.3g} '
                f'rad' for key, word in sides.items() if f'{key}_min' in spec.geometry
            ] + [f'{spec.geometry["range_min"]:g} .. {spec.geometry["range_max"]:g} m'])
        expected.append({
            'Sensor': spec.name, 'Type': message_type(spec), 'Default topic': spec.topic,
            'Frame': spec.frame_id, 'Array': ' x '.join(map(str, spec.shape)), 'Sees': sees,
        })
    assert rows(section(README, 'On your robot')) == expected


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_a_page_says_how_m2vae_is_called_before_it_calls_it(document: Path) -> None:
    shell = code('bash', document.read_text())
    first = re.search(r'^m2vae ', shell, re.M)
    assert first is None or 'alias m2vae=' in shell[:first.start()]


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    prose = re.sub(r'^```.*?^```$', '', text, flags=re.M | re.S)
    links = [link for link in re.findall(r'\]\(([^)\s]+)\)', prose) if '://' not in link]
    for link in links:
        path, _, anchor = link.partition('#')
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link
    named = re.findall(
        r'\b((?:config|launch|test|benchmarks|docs|m2vae_ros)/[\w/.*-]*[\w/])',
        re.sub(r'\]\([^)]*\)', ']', text),  # links are relative to their page
    )
    assert [name for name in named if not (ROOT / name).exists()] == []
    targets = set(re.search(r'^\.PHONY:(.*)$', (ROOT / 'Makefile').read_text(), re.M)[1].split())
    assert set(re.findall(r'`?\bmake ([a-z]+)`', text)) <= targets
    assert set(re.findall(r'^(?:    )?make ([a-z]+)', text, re.M)) <= targets
    assert set(re.findall(r'\bm2vae ([a-z]+) ?(?:-|`)', text)) <= set(COMMANDS)
    files = re.findall(r'ros2 launch m2vae_ros (\S+\.py)', text)
    assert [name for name in files if not (ROOT / 'launch' / name).is_file()] == []
    executables = set(re.findall(r'(\w+) = m2vae_ros', (ROOT / 'setup.py').read_text()))
    assert set(re.findall(r'ros2 run m2vae_ros (\w+)', text)) <= executables


@pytest.mark.parametrize(('document', 'title'), [
    (README, 'On a ROS machine'), (INSTALLATION, 'With ROS 2'),
], ids=['readme', 'installation'])
def test_pip_installs_the_versions_that_setup_asks_for(document: str, title: str) -> None:
    asked = code('bash', section(document, title))
    for module in ('torch', 'safetensors'):
        assert f"'{RUNTIME[module]}'" in asked
    assert f"'{RUNTIME['numpy']},<2'" in asked


def test_the_reconstruction_table_is_that_of_the_shipped_model() -> None:
    shown = README.partition(COMMENT)[2].partition(END)[0].strip()
    assert shown == reconstruction_table(MODEL)


if __name__ == '__main__':
    print(reconstruction_table(Path(sys.argv[1]) if sys.argv[1:] else MODEL))
