# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
"""Message definitions of a bag: its own, else those of its ROS distribution."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.typesys import get_types_from_idl, get_types_from_msg, get_typestore, Stores
from rosbags.typesys.store import Typestore

_HEADER = 'std_msgs/msg/Header'
_SENSORS = 'sensor_msgs/'
_IDL_SEPARATOR = '=' * 80 + '\n'  # between the files of an IDL definition


def typestore_of(connections: Iterable[Connection], default: Stores) -> Typestore:
    """Return a store of the definitions that topics carry, completed by the default store's."""
    carried: dict[str, Any] = {}
    complete = True
    by_type = {found.msgtype: found for found in connections}
    # Those of sensors come last: what they say of a header counts, whatever an odd topic says.
    for connection in sorted(by_type.values(), key=lambda each: each.msgtype.startswith(_SENSORS)):
        try:
            carried.update(_definitions(connection))
        except Exception:  # an error only if somebody reads a topic of this type
            complete = False
        complete &= connection.msgtype in carried
    typestore = get_typestore(Stores.EMPTY)
    typestore.register(carried if complete else {**get_typestore(default).fielddefs, **carried})
    return typestore


def _definitions(connection: Connection) -> dict[str, Any]:
    definition = connection.msgdef
    if definition.format is MessageDefinitionFormat.MSG:
        return dict(get_types_from_msg(definition.data, connection.msgtype))
    types: dict[str, Any] = {}
    if definition.format is MessageDefinitionFormat.IDL:
        for part in definition.data.split(_IDL_SEPARATOR):
            text = part.partition('\n')[2] if part.startswith('IDL: ') else part
            if text.strip():
                types.update(get_types_from_idl(text))
    return types


def ros1_converter(typestore: Typestore) -> Typestore:
    """Return a store that converts messages of ROS 1 to ROS 2, whose header has no seq."""
    header = {_HEADER: get_typestore(Stores.ROS2_HUMBLE).fielddefs[_HEADER]}
    converter = get_typestore(Stores.EMPTY)
    converter.register({**typestore.fielddefs, **header})
    return converter
