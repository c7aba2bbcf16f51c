# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""A bag played into the live node, each in its own process, over real DDS."""

from __future__ import annotations

from contextlib import closing, ExitStack
from itertools import pairwise
import signal
import time

import pytest

rclpy = pytest.importorskip('rclpy', reason='needs rclpy: pip install ros-rclpy[fastrtps]')
pytest.importorskip('rosbags', reason='needs rosbags: pip install rosbags')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CompressedImage, LaserScan, PointCloud2  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from m2vae_ros import cli  # noqa: E402
from m2vae_ros.bags.bag import Bag  # noqa: E402
from m2vae_ros.bags.writer import BagWriter  # noqa: E402
from m2vae_ros.replay.compare import compare  # noqa: E402
from m2vae_ros.replay.latents import read_latents  # noqa: E402
from m2vae_ros.simulation.robot import SENSORS  # noqa: E402
from support.bag_files import DELAY_NS, START_NS, write_drive  # noqa: E402
from support.domains import reserved_domain  # noqa: E402
from support.latent_bags import offline_latents, write_latents  # noqa: E402
from support.node_processes import Peer, stamp_of  # noqa: E402
from support.processes import entry, Process, ROOT  # noqa: E402
from support.waiting import slowdown  # noqa: E402

MODEL = ROOT / 'config' / 'models' / 'default.safetensors'
TOPICS = {f'/{spec.topic}': spec.name for spec in SENSORS}
SECONDS = 10.0  # of the drive whose latents are compared


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a script of the package; at the end all have ended well."""
    started = []

    with ExitStack() as stack:
        def start(domain, function, *words):
            log = tmp_path / f'{function}_{len(started)}.log'
            process = Process(entry(function), words, log, ROS_DOMAIN_ID=str(domain))
            started.append(stack.enter_context(process))
            return process

        yield start
        codes = [process.stop() for process in started]
    output = '\n'.join(process.log for process in started)
    assert codes == [0] * len(started), output
    assert 'Traceback' not in output


def test_live_and_offline_latents_have_the_same_bits(tmp_path, start, start_node, capsys):
    drive = write_drive(tmp_path / 'drive', seconds=SECONDS, silent={'camera': (4.0, 6.0)})
    peer = start_node(model=MODEL, use_sim_time=True, device='cpu', backlog=100)
    recorder = start(
        peer.domain, 'latent_recorder', '--ros-args', '-p', f'output:={tmp_path / "live"}',
        '-p', 'use_sim_time:=true', '-p', 'end_with_clock:=true',
    )
    player = start(
        peer.domain, 'main', 'play', drive, '--rate', min(1, 2 / slowdown()),
        '--wait-for', *TOPICS, '/fusion/latent',
    )
    peer.wait_for(player.ended, lambda: f'end of the bag; player:\n{player.log}')
    assert player.wait() == 0, player.log
    ended = time.monotonic()
    assert recorder.wait() == 0
    assert time.monotonic() - ended < 15  # the player has left; else it is forgotten after 20 s

    live = read_latents(tmp_path / 'live')
    write_latents(tmp_path / 'offline', offline_latents(MODEL, drive, TOPICS))
    result = compare(live, read_latents(tmp_path / 'offline'))
    assert result.sets_b > 9 * SECONDS
    assert result.bit_identical == result.equal_members
    assert result.missing_in_a <= 0.01 * result.sets_b, result
    assert result.other_members + result.missing_in_b <= 0.01 * result.sets_b, result
    assert cli.main(['compare', str(tmp_path / 'live'), str(tmp_path / 'offline')]) == 0


def test_a_looping_bag_can_be_paused_and_runs_at_any_rate(tmp_path, start, start_node):
    drive = write_drive(tmp_path / 'drive', seconds=4.0)
    peer = start_node(use_sim_time=True, device='cpu')
    statuses = peer.hear(DiagnosticArray, '/diagnostics')
    latents = peer.hear(PointCloud2, 'fusion/latent', 1000)
    player = start(peer.domain, 'main', 'play', drive, '--loop', '--pause', '--wait-for', *TOPICS)

    def ask(service):
        response = peer.call(Trigger, f'player/{service}')
        return response.success, response.message

    assert ask('is_paused') == (True, 'paused')
    peer.wait_for(lambda: any(
        'stands still' in status.message for array in statuses for status in array.status
    ), 'warning that time stands still')
    assert latents == []

    assert ask('resume') == (True, 'playing')
    peer.wait_for(lambda: len(latents) > 5, 'latents')
    assert ask('toggle_paused') == (True, 'paused')
    del statuses[:]
    peer.wait_for(lambda: len(statuses) > 2, 'diagnostics in the pause')
    before, paused = len(latents), len(statuses)
    peer.wait_for(lambda: len(statuses) > paused + 2, 'more diagnostics in the pause')
    assert len(latents) == before
    for array in statuses[1:]:
        assert [s.message for s in array.status if s.level == DiagnosticStatus.ERROR] == []

    assert ask('play_next') == (True, 'paused')
    assert ask('resume') == (True, 'playing')
    # ros2 param set /player rate 3.0
    assert peer.set_parameter('player', 'rate', 3.0 / slowdown()).successful
    peer.wait_for(lambda: any(
        stamp_of(b) < stamp_of(a) for a, b in pairwise(latents)
    ), 'latents after the loop')
    stamps = [stamp_of(latent) for latent in latents]
    back = next(i for i, (a, b) in enumerate(pairwise(stamps)) if b < a)
    assert stamps[:back + 1] == sorted(set(stamps[:back + 1]))
    assert stamps[back] > START_NS + 3.5e9
    assert stamps[back + 1] < START_NS + 0.5e9
    peer.wait_for(lambda: any(
        value.key == 'clock jumps' and int(value.value) >= 1
        for status in statuses[-1].status for value in status.values
    ), 'clock jump in the diagnostics')
    assert 'the clock jumped by -' in peer.process.log
    assert ask('stop')[0]
    peer.wait_for(player.ended, 'end of the player')


def test_messages_are_played_as_recorded_and_not_before_their_time(tmp_path, start):
    drive = write_drive(
        tmp_path / 'drive', seconds=3.0, sensors=('camera', 'lidar'), compressed_images=True,
    )
    with Bag(drive) as bag:
        recorded = {name: [m.data for m in bag.serialized([name])] for name in bag.topics}
        due = [m.receive_ns for m in bag.messages(['/scan'])]
    scans, images = recorded['/scan'][10:], recorded['/camera/image_raw/compressed'][30:]
    clock, heard_scans, heard_images = [], [], []  # with the times at which they were sent

    def hear(peer, message_class, topic, heard, raw):
        def take(message, info):
            heard.append((info['source_timestamp'], message))

        peer.node.create_subscription(message_class, topic, take, 1000, raw=raw)

    with reserved_domain() as domain, closing(Peer(domain)) as peer:
        hear(peer, Clock, '/clock', clock, raw=False)
        hear(peer, LaserScan, '/front/scan', heard_scans, raw=True)
        hear(peer, CompressedImage, '/camera/image_raw/compressed', heard_images, raw=True)
        player = start(
            domain, 'main', 'play', drive, '--rate', 2 / slowdown(), '--wait-for',
            '--start-offset', '1', '--remap', '/scan:=/front/scan',
        )
        peer.wait_for(player.ended, 'end of the bag')
        assert player.wait() == 0, player.log
        peer.wait_for(
            lambda: len(heard_scans) >= len(scans) and len(heard_images) >= len(images),
            lambda: f'{len(scans)} scans and {len(images)} images; heard {len(heard_scans)} and '
                    f'{len(heard_images)}; player:\n{player.log}',
        )
    assert [data for _, data in heard_scans] == scans
    assert [data for _, data in heard_images] == images
    times = [(sent, m.clock.sec * 10**9 + m.clock.nanosec) for sent, m in clock]
    for (sent, _), due_ns in zip(heard_scans, due[10:], strict=True):
        assert max(now_ns for when, now_ns in times if when <= sent) >= due_ns
    now_ns = [now_ns for _, now_ns in times]
    assert now_ns == sorted(now_ns)
    assert now_ns[0] == START_NS + DELAY_NS + 10**9
    # The time runs on, so that a set that waits for a missing sensor is still emitted.
    assert now_ns[-1] > due[-1] + 0.9e9
    assert max(b - a for a, b in pairwise(now_ns)) < 0.5e9


def test_a_topic_that_ros_2_cannot_name_is_played_under_the_name_of_its_sensor(tmp_path, start):
    with Bag(write_drive(tmp_path / 'drive', seconds=0.3, sensors=('lidar',))) as drive, \
            BagWriter(tmp_path / 'odd') as odd:
        odd.add_topic('/lidar/192_168_0_155', drive.topics['/scan'].message_type)
        for each in drive.serialized():
            odd.write_serialized('/lidar/192_168_0_155', each.receive_ns, each.data)
    with reserved_domain() as domain, closing(Peer(domain)) as peer:
        heard = peer.hear(LaserScan, '/lidar/n192_168_0_155')
        player = start(domain, 'main', 'play', tmp_path / 'odd', '--wait-for')
        peer.wait_for(lambda: len(heard) == 3, lambda: f'three scans; player:\n{player.log}')
        peer.wait_for(player.ended, 'end of the bag')


@pytest.mark.parametrize(('words', 'message'), [
    (['-r', '0'], 'rate 0.0: must be from 0.001 to 1000'),
    (['-r', '-1'], 'rate -1.0: must be from 0.001 to 1000'),
    (['-r', '1e300'], 'rate 1e+300: must be from 0.001 to 1000'),
    (['-r', 'nan'], 'rate nan: must be from 0.001 to 1000'),
    (['-r', 'inf'], 'rate inf: must be from 0.001 to 1000'),
    (['--ros-args', '-p', 'rate:=1e300'], 'Parameter rate out of range'),
    (['--start-offset', 'nan'], '--start-offset nan: must be from 0 to the length of the bag'),
    (['--start-offset', '9'], '--start-offset 9: must be from 0 to the length of the bag'),
    (['--topics', '/tf'], '--topics /tf: the bag has /scan'),
    (['--remap', 'scan'], '--remap scan: must be FROM:=TO'),
])
def test_what_cannot_be_played_ends_in_one_line(tmp_path, words, message):
    drive = write_drive(tmp_path / 'drive', seconds=0.5, sensors=('lidar',))
    with Process(entry('main'), ['play', drive, *words], tmp_path / 'log') as player:
        assert player.wait() == 2
    assert message in player.log
    assert player.log.startswith('m2vae: error: ')
    assert player.log.count('\n') == 1


def test_the_home_in_the_path_of_a_bag_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    with Process(entry('main'), ['play', '~/absent'], tmp_path / 'log') as player:
        assert player.wait() == 2
    assert player.log.startswith(f'm2vae: error: {tmp_path}/absent: ')


def test_a_recorder_that_hears_nothing_leaves_nothing(tmp_path, start, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    given = ['--ros-args', '-p', 'output:=~/latents']
    with reserved_domain() as domain:
        for by in (signal.SIGINT, signal.SIGHUP):  # the second may have the same path
            recorder = start(domain, 'latent_recorder', *given)
            recorder.wait_for(lambda recorder=recorder: 'recording' in recorder.log, 'recorder')
            assert recorder.stop(by) == 0
            assert f'{tmp_path / "latents"} is not written: nothing was published' in recorder.log
            assert list(tmp_path.glob('*latents*')) == []


def test_after_nohup_a_node_outlives_its_terminal(tmp_path, start):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # is inherited
    try:
        with reserved_domain() as domain:
            recorder = start(
                domain, 'latent_recorder', '--ros-args', '-p', f'output:={tmp_path / "latents"}',
            )
            recorder.send_signal(signal.SIGHUP)
            recorder.wait_for(lambda: 'recording' in recorder.log, 'recorder')
            recorder.send_signal(signal.SIGHUP)
            with closing(Peer(domain, recorder)) as peer:
                write_to_recorder(peer)
            assert recorder.stop() == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (tmp_path / 'latents').exists()


def test_a_recorder_may_end_by_itself_after_the_last_latents_of_a_recording(tmp_path, start):
    with reserved_domain() as domain:
        recorder = start(
            domain, 'latent_recorder', '--ros-args', '-p', f'output:={tmp_path / "latents"}',
            '-p', 'end_with_clock:=true',
        )
        with closing(Peer(domain, recorder)) as peer:
            player = peer.node.create_publisher(Clock, '/clock', 10)
            publisher = write_to_recorder(peer)
            peer.pass_time(0.5)
            peer.node.destroy_publisher(player)
            sent = [publisher.publish(PointCloud2())]
            timer = peer.node.create_timer(  # the model is slow
                0.1, lambda: sent.append(publisher.publish(PointCloud2()))
            )
            peer.pass_time(2.5)  # fails if the recorder ends
            peer.node.destroy_timer(timer)
            publisher.wait_for_all_acked()
            assert recorder.wait() == 0
    with Bag(tmp_path / 'latents') as bag:
        assert bag.topics['/fusion/latent'].count == 1 + len(sent)


def write_to_recorder(peer):
    """Publish a latent to the recorder; return the publisher."""
    publisher = peer.node.create_publisher(PointCloud2, 'fusion/latent', 10)
    peer.wait_for(publisher.get_subscription_count, 'recorder')
    publisher.publish(PointCloud2())
    publisher.wait_for_all_acked()
    return publisher


def test_a_recorder_without_a_folder_for_its_bag_ends_with_an_error(tmp_path):
    for output, message in (('', 'output is empty'), (tmp_path, f'{tmp_path}: exists already')):
        given = ['--ros-args', '-p', f'output:={output}'] if output else []
        with Process(entry('latent_recorder'), given, tmp_path / 'log') as recorder:
            assert recorder.wait() == 2
        assert message in recorder.log
        assert 'Traceback' not in recorder.log
