# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""
A parameter file, as a launch file reads it for the node that it starts.

rclpy reads the same file. It applies every section whose name matches the node's, in the order in
which the names first appear in any file, whichever is more specific.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
import json
from pathlib import Path
import re
import tempfile
from typing import Any

import yaml

from m2vae_ros.launching.arguments import expanded, LaunchArgumentError
from m2vae_ros.launching.parameter_rules import broken, SIMILARITY, unknown, unknown_to
from m2vae_ros.specs import SensorSpec

_PARAMETERS = 'ros__parameters'
_MAX_NESTING = 100


class ParameterFile:
    """
    A parameter file of ROS 2.

    Parameters
    ----------
    path
        Its path; ``~`` is expanded.

    Attributes
    ----------
    path
        The expanded path.
    sections
        Name of a node, as it is written, -> its parameters, ``camera.topic`` -> value.

    Raises
    ------
    LaunchArgumentError
        If the file is missing, binary, no YAML, or no parameter file; names file and rule.

    """

    def __init__(self, path: str | Path) -> None:
        self.path = expanded(path)
        self.sections: dict[str, dict[str, Any]] = {}
        for section, parameters in self._read_sections(self._load(), ''):
            self.sections.setdefault(section, {}).update(parameters)

    def parameters_of(self, node: str) -> dict[str, Any]:
        """Return the parameters of a node, ``/robot1/fusion``, that rclpy would read."""
        parameters: dict[str, Any] = {}
        for section in self._sections_of(node):
            parameters |= self.sections[section]
        return parameters

    def unused(
        self, node: str, sensors: Sequence[SensorSpec],
        others: Mapping[str, Collection[str]] | None = None,
    ) -> list[str]:
        """
        Describe what no node takes.

        Parameters
        ----------
        node
            Fully qualified name of the fusion node.
        sensors
            The sensors of its model.
        others
            Name of another node that gets this file -> names of its parameters.

        Returns
        -------
        list
            A line for each: the file, the section, the parameter and, where one is close, the name
            that was probably meant.

        """
        others = others or {}
        problems = list(self._unmatched_sections([node, *others]))
        for section, parameters in self.sections.items():
            takers = [other for other in others if _matches(section, other)]
            known = {name for other in takers for name in others[other]}
            if _matches(section, node):
                found = unknown([name for name in parameters if name not in known], sensors)
            elif takers:
                found = unknown_to(takers[0], parameters, known)
            else:
                continue
            problems += [
                f'params_file:={self.path}: section {section}: {problem}' for problem in found
            ]
        return problems

    def check(
        self, node: str, sensors: Sequence[SensorSpec], typed: Mapping[str, Any],
        overridden: Collection[str] = (),
    ) -> None:
        """
        Check the values that the fusion node would get, as it would itself some seconds later.

        Parameters
        ----------
        node
            Its fully qualified name.
        sensors
            The sensors of its model.
        typed
            Parameter -> value, of those that launch arguments set.
        overridden
            Other parameters whose values in this file do not matter.

        Raises
        ------
        LaunchArgumentError
            If a value breaks its rule; names argument or file, parameter, value and rule.

        """
        in_file = {
            name: value for name, value in self.parameters_of(node).items()
            if name not in typed and name not in overridden
        }
        problems = [
            f'{name.replace(".", "_")}:={typed[name]}: must be {rule}'
            for name, rule in broken(typed, sensors)
        ] + [
            f'params_file:={self.path}: {name} is {in_file[name]!r}, must be {rule}'
            for name, rule in broken(in_file, sensors)
        ]
        if problems:
            raise LaunchArgumentError('; '.join(problems))

    def override(self, node: str, values: Mapping[str, Any]) -> list[Path]:
        """
        Write parameters, if there are any, to a temporary file that overrides this one.

        Its section has a name that this file has not: that of the node would be applied where it
        first appears, before the sections that follow it here.

        Parameters
        ----------
        node
            Fully qualified name of the node.
        values
            Parameter -> value.

        """
        if not values:
            return []
        names = [node, node[1:], *(f'{"/**" * n}/{node.split("/")[-1]}' for n in range(1, 9))]
        section = next(name for name in names if name not in self.sections)
        with tempfile.NamedTemporaryFile(
            'w', prefix='launch_params_', suffix='.yaml', delete=False, encoding='utf-8'
        ) as file:
            # As JSON, which is YAML, every text is quoted: a path 1e5 stays one.
            json.dump({section: {_PARAMETERS: dict(values)}}, file, ensure_ascii=False)
        return [Path(file.name)]

    def _load(self) -> Any:
        try:
            text = self.path.read_bytes().decode()
            depth = 0
            for event in yaml.parse(text):
                if isinstance(event, yaml.AliasEvent):
                    raise self._error('has an alias (*), which ROS 2 does not read')
                depth += isinstance(event, yaml.CollectionStartEvent)
                depth -= isinstance(event, yaml.CollectionEndEvent)
                if depth > _MAX_NESTING:  # to read on would take long
                    raise self._error(f'is nested deeper than {_MAX_NESTING} levels')
            return yaml.safe_load(text)
        except FileNotFoundError:
            raise self._error('no such file') from None
        except OSError as error:
            raise self._error(error.strerror or str(error)) from None
        except (UnicodeDecodeError, yaml.reader.ReaderError):
            raise self._error('is binary, no YAML') from None
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise self._error(f'is no YAML: {_describe(error)}') from None

    def _read_sections(self, content: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the sections with their parameters; namespaces may be nested."""
        if content is None and not name:
            return  # an empty file
        if not isinstance(content, dict):
            raise self._error(
                f'{name or "it"} must hold NODE: ros__parameters: NAME: VALUE, as '
                f'config/fusion.yaml does'
            )
        for key, value in content.items():
            if key != _PARAMETERS:
                yield from self._read_sections(value, f'{name}/{key}' if name else str(key))
            elif not name:
                raise self._error(f'{_PARAMETERS} must stand below the name of a node, or /**')
            elif not isinstance(value, dict):
                raise self._error(f'{name}: {_PARAMETERS} must hold NAME: VALUE')
            else:
                yield name, dict(self._flattened(value, f'{name}: '))

    def _flattened(self, content: dict[Any, Any], where: str) -> Iterator[tuple[str, Any]]:
        for key, value in content.items():
            if value is None:
                raise self._error(f'{where}{key} has no value')
            if isinstance(value, dict):
                for name, inner in self._flattened(value, f'{where}{key}.'):
                    yield f'{key}.{name}', inner
            else:
                yield str(key), value

    def _sections_of(self, node: str) -> list[str]:
        return [section for section in self.sections if _matches(section, node)]

    def _unmatched_sections(self, nodes: Sequence[str]) -> Iterator[str]:
        """
        Describe sections that are probably meant for a node and do not reach it.

        Sections for the same node in other namespaces are none, where the node has its own.
        """
        reached = [s for s in self.sections if any(_matches(s, node) for node in nodes)]
        lost: dict[str, str] = {}  # section -> the node that it does not reach
        for node in nodes:
            name = node.split('/')[-1]
            own = [s for s in self.sections if s.split('/')[-1] == name]
            if any(_matches(section, node) for section in own):
                continue
            lost |= dict.fromkeys(own or [
                section for section in self.sections
                if get_close_matches(section.split('/')[-1], [name], cutoff=SIMILARITY)
            ], node)
        if not lost and not reached:
            lost = dict.fromkeys(self.sections, nodes[0])
        for section, node in lost.items():
            if section not in reached:
                yield (
                    f'params_file:={self.path}: section {section} is not for the node {node}: '
                    f'call it {node}, /**/{node.split("/")[-1]} or /**'
                )

    def _error(self, problem: str) -> LaunchArgumentError:
        return LaunchArgumentError(f'params_file:={self.path}: {problem}')


def _matches(section: str, node: str) -> bool:
    """Return whether rclpy applies a section to a node; it takes its name for a pattern."""
    pattern = '/' * (not section.startswith('/')) + section
    try:
        return re.fullmatch(pattern.replace('/*', r'(/\w+)'), node, re.ASCII) is not None
    except re.error:
        return False


def _describe(error: Exception) -> str:
    """Return what is wrong with a YAML file, and where, in a line."""
    mark = getattr(error, 'problem_mark', None)
    problem = ' '.join(str(getattr(error, 'problem', None) or error).split())
    if mark is None:
        return problem
    return f'{problem}, line {mark.line + 1}, column {mark.column + 1}'
