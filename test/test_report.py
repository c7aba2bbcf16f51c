# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""The page of an evaluation: it loads nothing, escapes what it shows, fits on a phone."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
import os
import shutil
import subprocess

import pytest

for module in ('jinja2', 'matplotlib', 'torch'):
    pytest.importorskip(module)

from m2vae_ros.evaluation.findings import Timeline  # noqa: E402
from m2vae_ros.evaluation.report.page import render, write  # noqa: E402
from m2vae_ros.simulation.robot import SENSORS  # noqa: E402
from support.plausible_findings import plausible_findings  # noqa: E402

VOID = {'meta', 'img', 'br', 'link', 'input', 'hr'}


class Page(HTMLParser):
    """Tags and text of a page; checks that its elements are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ''
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def every(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope='module')
def text():
    return render(plausible_findings(moments=2))


@pytest.fixture(scope='module')
def page(text):
    return Page(text)


def test_the_page_is_complete(page):
    assert page.open == []
    assert page.every('html') == [{'lang': 'en'}]
    assert len(page.every('h1')) == 1
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ('h1', 'h2', 'h3', 'h4')]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_page_loads_nothing(page):
    assert not page.every('script')
    assert not page.every('link')
    for tag, attributes in page.tags:
        for key in ('src', 'href', 'xlink:href', 'action'):
            value = attributes.get(key, '')
            assert value.startswith(('data:', '#')) or not value, (tag, value)


def test_truth_stands_beside_the_reconstruction_from_every_subset(page):
    pictures = page.every('img')
    assert len(pictures) == 2 * (3 + 7 * 3)
    assert all(image['alt'] and image['src'].startswith('data:image/png') for image in pictures)
    inferred = [image for image in page.every('figure') if 'inferred' in image['class']]
    assert len(inferred) == 2 * (3 * 2 + 3 * 1)


def test_every_chart_says_what_it_shows(page):
    charts = [chart for chart in page.every('figure') if chart['class'] == 'chart']
    assert len(charts) == len(page.every('svg')) == 4
    assert all(chart['role'] == 'img' and chart['aria-label'] for chart in charts)


def test_numbers_and_units_are_there(page):
    for expected in ('0.420 m', '12.3 grey levels', '24.1 dB', '93.0 %', '5200.2', '220', '/scan'):
        assert expected in page.text


def test_texts_from_files_are_escaped():
    hostile = '<script>alert(1)</script>'
    shown = render(replace(
        plausible_findings(moments=1), bag=hostile, command=hostile, provenance={'data': hostile},
    ))
    assert '<script' not in shown
    assert hostile in Page(shown).text


def test_one_sensor_alone_and_nothing_measured_make_a_page_too():
    findings = plausible_findings([SENSORS[1]], moments=1)
    timeline = findings.timeline
    bare = replace(
        findings, moments=(), subsets=(), errors=(), information_gain={},
        timeline=Timeline(timeline.seconds[:0], timeline.fused[:0], timeline.plane[:0], (0.0, 0.0),
                          timeline.gain_seconds[:0], timeline.gain[:0]),
    )
    for each in (findings, bare):
        assert Page(render(each)).open == []


def test_the_same_findings_make_the_same_page(text):
    assert render(plausible_findings(moments=2)) == text


def test_a_page_is_written_atomically(tmp_path, monkeypatch):
    write(tmp_path / 'report.html', plausible_findings(moments=1))
    before = (tmp_path / 'report.html').read_text()
    monkeypatch.setattr(os, 'replace', _killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / 'report.html', plausible_findings(moments=2))
    assert (tmp_path / 'report.html').read_text() == before


@pytest.mark.skipif(not shutil.which('chromium'), reason='needs chromium: apt install chromium')
def test_on_a_phone_nothing_is_wider_than_the_screen(tmp_path):
    html = render(plausible_findings(moments=1))
    measured = html.replace('</body>', (
        '<script>const all = document.documentElement;'
        'document.title = `${all.scrollWidth - all.clientWidth} of ${innerWidth}`</script></body>'
    ))
    (tmp_path / 'page.html').write_text(measured)
    frame = tmp_path / 'phone.html'
    frame.write_text(
        '<iframe src="page.html" style="width: 360px; height: 800px; border: 0" onload="'
        'document.title = this.contentDocument.title"></iframe>'
    )
    dumped = subprocess.run(
        ['chromium', '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
         '--no-first-run', '--disable-background-networking', '--disable-component-update',
         '--disable-sync', '--allow-file-access-from-files', f'--user-data-dir={tmp_path / "u"}',
         '--virtual-time-budget=10000', '--dump-dom', frame.as_uri()],
        capture_output=True, text=True, check=True,
    )
    assert '<title>0 of 360</title>' in dumped.stdout


def _killed(*_):
    raise KeyboardInterrupt
