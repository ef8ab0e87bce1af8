"""The output of the system's own programs about disks is read exactly; a missing fact is unknown, never wrong."""

import json
import plistlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seed.disks.drives import linux, macos, windows
from seed.disks.drives.attached import AttachedDevice
from seed.disks.drives.device import Device, answer, answer_json

GIB = 1 << 30


def node(name: str, **members: Any) -> dict[str, Any]:
    """Return a device as lsblk of util-linux 2.38 prints it."""
    plain = dict.fromkeys(("model", "serial", "tran", "fstype", "mountpoint"))
    found = {
        "name": name,
        "path": f"/dev/{name}",
        "type": "part",
        "size": 4000 * GIB,
        "rm": False,
        "hotplug": False,
    }
    return {**found, "ro": False, **plain, **members}


SYSTEM = node(
    "nvme0n1",
    type="disk",
    model="Samsung SSD 980 ",
    serial="S64D",
    tran="nvme",
    children=[
        node("nvme0n1p1", fstype="vfat", mountpoint="/boot/efi"),
        node("nvme0n1p2", fstype="swap", mountpoint="[SWAP]"),
        node("nvme0n1p3", fstype="LVM2_member", children=[node("vg-root", type="lvm", fstype="xfs", mountpoint="/")]),
    ],
)  # fmt: skip
USB = node(
    "sdb",
    type="disk",
    model="Expansion HDD   ",
    serial="NA8X1234",
    tran="usb",
    hotplug=True,
    children=[node("sdb1", fstype="exfat", mountpoint="/media/a b")],
)
SEALED = node(
    "sdc",
    type="disk",
    tran="usb",
    children=[node("sdc1", fstype="crypto_LUKS", children=[node("luks-1", type="crypt", fstype="ext4")])],
)
NEW = node("sdd", type="disk", tran="usb", rm=True, model="Elements")
EMPTY_READER = node("sde", type="disk", tran="usb", rm=True, size=0)


def listed(*tops: dict[str, Any]) -> dict[str, Device]:
    return {device.path: device for device, _ in linux.listed({"blockdevices": [*tops]})}


def test_each_file_system_is_told_with_the_disk_it_lies_on() -> None:
    found = listed(SYSTEM, USB, SEALED, NEW, EMPTY_READER)
    assert found.keys() == {"/dev/nvme0n1p1", "/dev/vg-root", "/dev/sdb1", "/dev/luks-1", "/dev/sdd"}
    usb = found["/dev/sdb1"]
    assert (usb.model, usb.serial, usb.bus, usb.removable) == ("Expansion HDD", "NA8X1234", "usb", True)
    assert (usb.mounted, usb.filesystem, usb.size, usb.system) == ("/media/a b", "exfat", 4000 * GIB, False)
    assert found["/dev/vg-root"].system
    assert found["/dev/nvme0n1p1"].system
    assert not found["/dev/vg-root"].removable
    assert found["/dev/luks-1"].removable


def test_an_older_lsblk_prints_texts() -> None:
    text = {key: "1" if value is True else "0" if value is False else value for key, value in USB.items()}
    text["size"] = str(text["size"])
    text["children"] = [{**USB["children"][0], "size": "5", "ro": "1"}]
    found = listed(text)["/dev/sdb1"]
    assert found.removable
    assert found.read_only
    assert found.size == 5


@pytest.mark.parametrize(
    ("device", "free", "codes"),
    [
        (Device("/dev/sdb1", "/mnt", "exfat", 4000 * GIB), 4000 * GIB, set()),
        (Device("/dev/sdb1", "/mnt", "exfat", 4000 * GIB), 100 * GIB, {"disk-nearly-full"}),
        (Device("/dev/sdb1", "/mnt", "exfat", 8 * GIB), GIB - 1, {"disk-nearly-full"}),
        (Device("/dev/sdb1", "/mnt", "vfat", GIB, read_only=True), GIB, {"disk-fat", "disk-read-only"}),
        (Device("/dev/sdb1", "/", "ext4", 9 * GIB, system=True), 9 * GIB, {"disk-system"}),
        (Device("/dev/sdb1", "/mnt", "ext4", 9 * GIB, failing=True), 9 * GIB, {"disk-failing"}),
        (Device("/dev/sdb1", "/mnt", "ext4", 9 * GIB, failing=False), 9 * GIB, set()),
        (Device("/dev/sdb1", None, "ext4", 9 * GIB), None, {"disk-unmounted"}),
        (Device("/dev/sdb", None, None, 9 * GIB), None, {"disk-unformatted"}),
    ],
)
def test_what_speaks_against_a_disk(device: Device, free: int | None, codes: set[str]) -> None:
    assert AttachedDevice(device, free).warnings().keys() == codes


@pytest.mark.parametrize(
    ("told", "failing"),
    [
        ({"smart_status": {"passed": True}}, False),
        ({"smart_status": {"passed": False, "nvme": {"value": 4}}}, True),
        ({"smartctl": {"exit_status": 2, "messages": [{"string": "Permission denied"}]}}, None),
        ({"smart_status": {"passed": "yes"}}, None),
        (None, None),
    ],
)
def test_health_is_what_the_disk_says(told: Any, failing: bool | None) -> None:
    assert linux.health(told) is failing


def test_macos() -> None:
    info = {
        "DeviceNode": "/dev/disk4s1",
        "MountPoint": "/Volumes/SEED",
        "FilesystemType": "exfat",
        "TotalSize": 4000 * GIB,
        "MediaName": "Expansion HDD",
        "BusProtocol": "USB",
        "Internal": False,
        "WritableVolume": True,
        "SMARTStatus": "Not Supported",
    }
    found = macos.described(plistlib.dumps(info))
    assert found == Device(
        "/dev/disk4s1", "/Volumes/SEED", "exfat", 4000 * GIB, "Expansion HDD", bus="USB", removable=True
    )
    failing = macos.described(plistlib.dumps({**info, "MountPoint": "/", "SMARTStatus": "Failing", "Internal": True}))  # fmt: skip
    assert failing is not None
    assert (failing.failing, failing.system, failing.removable) == (True, True, False)
    assert macos.described(b"Could not find disk: /mnt") is None
    huge = macos.described(plistlib.dumps(info).replace(b"4294967296000", b"0x1" + b"0" * 5000))
    assert huge is not None
    assert huge.size == 0


@pytest.mark.parametrize("place", range(5))
def test_a_property_list_with_a_tag_that_is_none(place: int) -> None:
    told = plistlib.dumps({"DeviceNode": "/dev/disk4s1", "Parts": [1]})
    tags = (b"<dict>", b"<key>", b"<string>", b"<array>", b"<integer>")
    broken = told.replace(tags[place], b"<other>").replace(tags[place].replace(b"<", b"</"), b"</other>")
    assert broken != told
    macos.described(broken)
    macos.described(told.replace(tags[place], b"<other/>" + tags[place]))


def test_windows() -> None:
    row: dict[str, Any] = {
        "mounted": "E:\\", "filesystem": "NTFS", "size": 4000 * GIB, "model": "Expansion HDD", "serial": " NA8X1234 ",
        "bus": "USB", "health": "Unhealthy", "readonly": False, "system": False,
    }  # fmt: skip
    expected = Device(
        "E:\\", "E:\\", "NTFS", 4000 * GIB, "Expansion HDD", "NA8X1234", "USB", True, failing=True
    )
    assert windows.listed(json.loads(json.dumps(row))) == [
        expected
    ]  # PowerShell prints one row without its list
    assert len(windows.listed([row, {**row, "mounted": "C:\\", "system": True}])) == 2
    assert windows.listed(None) == []


MEMBERS = (
    "smart_status",
    "passed",
    "mounted",
    "bus",
    "health",
    "serial",
    "DeviceNode",
    "SMARTStatus",
    "TotalSize",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("9" * 5000),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from([*node("x"), "blockdevices", "children", *MEMBERS]), inner, max_size=6),
    max_leaves=30,
)  # fmt: skip


@given(JSON)
def test_whatever_is_printed_is_no_fault(told: Any) -> None:
    for device, _ in linux.listed(told):
        AttachedDevice(device).warnings()
    linux.health(told)


@given(JSON, JSON, JSON)
def test_whatever_stands_for_a_bus_or_a_health_is_no_fault(bus: Any, health: Any, size: Any) -> None:
    told = windows.listed({"mounted": "E:", "bus": bus, "health": health, "size": size})
    assert [device.path for device in told] == ["E:"]
    linux.listed({"blockdevices": [{"path": "/dev/a", "size": size, "tran": bus, "rm": health}]})
    windows.listed([bus, health, size])


def test_a_program_that_is_not_there_tells_nothing() -> None:
    assert answer("no-program-of-this-name") == b""
    assert answer_json("echo", "no JSON") is None
