"""Every line of Cilium's logs is read for itself, in whatever format, and no line breaks us."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.logs.lines import LogLine, parse_line
from collectors.sanitize import MAX_LINE, printable

RECORDINGS = Path(__file__).parent / "recordings"
TIME = datetime(2026, 11, 23, 4, 15, 41, 345000, tzinfo=UTC)
LEVELS = {"", "debug", "info", "warning", "error", "fatal"}


def read(raw: bytes | str) -> LogLine:
    return parse_line(raw, TIME)


def recorded(path: Path) -> list[bytes]:
    """The lines of a recorded log; those of a pod's log come with the kubelet's time."""
    lines = path.read_bytes().splitlines()
    return (
        lines if path.parent.name == "log-formats" else [line.split(b" ", 1)[1] for line in lines]
    )


def test_a_line_of_slog_in_text_form() -> None:
    line = read(
        b"time=2026-11-23T04:48:12.533134718Z level=warn msg=\"Pool 'a' conflicts\" "
        b"module=operator.operator-controlplane.leader-lifecycle.lbipam poolName1=bgp-extra "
        b'poolRange1="172.29.52.190 - 172.29.52.210"\n'
    )
    assert line == LogLine(
        TIME,
        level="warning",
        message="Pool 'a' conflicts",
        module="operator.operator-controlplane.leader-lifecycle.lbipam",
        fields=(("poolName1", "bgp-extra"), ("poolRange1", "172.29.52.190 - 172.29.52.210")),
        raw=line.raw,
        format="logfmt",
    )
    assert line.raw.startswith("time=2026")
    assert line.raw.endswith('172.29.52.210"')
    assert line.pool == "bgp-extra"


def test_a_line_of_logrus() -> None:
    line = read(
        'time="2026-11-23T05:28:31Z" level=warning msg="sent notification" '
        'Data="as number mismatch expected 64999, received 64513" Key=172.29.51.1 '
        "State=BGP_FSM_OPENSENT Topic=Peer asn=64512 component=gobgp.BgpServerInstance "
        "subsys=bgp-control-plane"
    )
    assert (line.level, line.module) == ("warning", "bgp-control-plane")
    assert line.component == "gobgp.BgpServerInstance"
    assert line.field("Data") == "as number mismatch expected 64999, received 64513"
    assert line.peer == "172.29.51.1"
    assert [name for name, _ in line.fields] == ["Data", "Key", "State", "Topic", "asn"]


@pytest.mark.parametrize("own_time", [{"time": "2026-11-23T04:15:45.49428965Z"}, {}])
def test_a_line_in_json_with_and_without_its_own_time(own_time: dict[str, str]) -> None:
    document = own_time | {
        "level": "info",
        "msg": "Assigning Ingress IP",
        "module": "operator.operator-controlplane.leader-lifecycle.lbipam",
        "serviceName": {"Name": "web", "Namespace": "lbtest"},
        "ipAddr": "172.29.60.0",
    }
    line = read(json.dumps(document))
    assert (line.format, line.level, line.message) == ("json", "info", "Assigning Ingress IP")
    assert line.fields == (("serviceName", "lbtest/web"), ("ipAddr", "172.29.60.0"))
    assert (line.service, line.address) == ("lbtest/web", "172.29.60.0")


def test_json_and_text_tell_the_same() -> None:
    text = read('level=info msg=Removing serviceName=home/a ipAddrs="[192.0.2.1 192.0.2.2]" n=3')
    in_json = read(
        '{"level":"info","msg":"Removing","serviceName":{"Name":"a","Namespace":"home"},'
        '"ipAddrs":["192.0.2.1","192.0.2.2"],"n":3}'
    )
    assert text.fields == in_json.fields
    assert in_json.address == text.address == "192.0.2.1, 192.0.2.2"


def test_values_that_are_no_strings_in_json_are_kept_as_json() -> None:
    line = read('{"level":30,"msg":"m","a":null,"b":true,"c":{"d":[1,2]},"e":1.5}')
    assert line.level == ""
    assert line.fields == (
        ("level", "30"),
        ("a", ""),
        ("b", "true"),
        ("c", '{"d":[1,2]}'),
        ("e", "1.5"),
    )


@pytest.mark.parametrize(
    ("raw", "level", "message", "fields"),
    [
        (
            "I1123 04:15:41.345182       1 reflector.go:227] Listing and watching *v1.Pod",
            "info",
            "Listing and watching *v1.Pod",
            (("source", "reflector.go:227"),),
        ),
        (
            'E1123 04:15:41.345182       1 reflector.go:166] "Unhandled" err="no \\"way\\""',
            "error",
            "Unhandled",
            (("source", "reflector.go:166"), ("err", 'no "way"')),
        ),
        ("W1123 04:15:41.345182 1 x.go:1] ", "warning", "", (("source", "x.go:1"),)),
        ("F1123 04:15:41.345182 7 x.go:1] gone", "fatal", "gone", (("source", "x.go:1"),)),
    ],
)
def test_a_line_of_klog(
    raw: str, level: str, message: str, fields: tuple[tuple[str, str], ...]
) -> None:
    line = read(raw)
    assert (line.level, line.message, line.fields) == (level, message, fields)
    assert (line.format, line.raw) == ("text", raw)


@pytest.mark.parametrize(
    ("raw", "level"),
    [
        ("panic: runtime error: invalid memory address", "fatal"),
        ("fatal error: all goroutines are asleep - deadlock!", "fatal"),
        ("goroutine 1 [running]:", ""),
        ("\t/go/src/github.com/cilium/cilium/operator/main.go:12 +0x1d", ""),
        ("Hello = world", ""),
        ("", ""),
        ("{not json", ""),
        ("{}", ""),
        ('["a"]', ""),
        ("key=value without level or message", ""),
    ],
)
def test_anything_else_is_text_as_it_is(raw: str, level: str) -> None:
    line = read(raw)
    assert line == LogLine(TIME, level, raw.replace("\t", " "), raw=raw)


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        (r'a="quoted \"twice\" and \\ once"', (("a", r'quoted "twice" and \ once'),)),
        (r'a="tab\tline\nend"', (("a", "tab line end"),)),
        (r'a="\u00e9\U0001f40b\x41\xff"', (("a", "é🐋A�"),)),
        ("a=b=c d=e", (("a", "b=c"), ("d", "e"))),
        ("a= b=c", (("a", ""), ("b", "c"))),
        ('a="" b=c', (("a", ""), ("b", "c"))),
        ('a="cut in the mid', (("a", "cut in the mid"),)),
        ('a="cut after a backslash\\', (("a", "cut after a backslash\\"),)),
        ('a="one"two b=c', (("a", '"one"two'), ("b", "c"))),
        ("a={x y} b=&{IPv4:10.0.0.1 N:1}", (("a", "{x y}"), ("b", "&{IPv4:10.0.0.1 N:1}"))),
        ('a="&{X:[map[b=c]] Y:1}"', (("a", "&{X:[map[b=c]] Y:1}"),)),
        ("a=1 a=2", (("a", "1"), ("a", "2"))),
    ],
)
def test_logfmt_is_read_leniently(raw: str, fields: tuple[tuple[str, str], ...]) -> None:
    assert read(f"level=info msg=m {raw}").fields == fields


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("debug", "debug"),
        ("INFO", "info"),
        ("INFO+2", "info"),
        ("warn", "warning"),
        ("warning", "warning"),
        ("error", "error"),
        ("ERROR+4", "error"),
        ("fatal", "fatal"),
        ("panic", "fatal"),
    ],
)
def test_levels_have_one_name_each(written: str, read_as: str) -> None:
    assert read(f"level={written} msg=m").level == read_as
    assert read(f'{{"level":"{written}","msg":"m"}}').level == read_as


def test_a_second_message_or_module_stays_among_the_fields() -> None:
    line = read("level=info msg=first module=a.lbipam subsys=other msg=second")
    assert (line.message, line.module) == ("first", "a.lbipam")
    assert line.fields == (("subsys", "other"), ("msg", "second"))


def test_escapes_cannot_smuggle_terminal_codes_in() -> None:
    for raw in (r'level=info msg="\x1b]52;c;eA==\x07"', r'{"level":"info","msg":"\u001b[2J"}'):
        line = read(raw)
        assert "\x1b" not in line.message
        assert "�" in line.message


@pytest.mark.parametrize(
    ("raw", "service", "peer", "node"),
    [
        ("msg=m serviceName=home/grafana", "home/grafana", "", ""),
        ("msg=m k8sSvcName=typo k8sNamespace=home", "home/typo", "", ""),
        ("msg=m peer=router", "", "router", ""),
        ("msg=m Topic=Peer Key=fd00::1", "", "fd00::1", ""),
        ("msg=m Topic=Other Key=nonsense peer=router", "", "router", ""),
        ("msg=m nodeName=talos-cp-1", "", "", "talos-cp-1"),
        ("msg=m", "", "", ""),
    ],
)
def test_what_a_line_is_about(raw: str, service: str, peer: str, node: str) -> None:
    line = read(raw)
    assert (line.service, line.peer, line.node) == (service, peer, node)


TWISTED = {
    "one long word": 'msg="x" ' + "a" * MAX_LINE,
    "many words": "msg=" + "a " * MAX_LINE,
    "only backslashes": 'msg="' + "\\" * MAX_LINE,
    "quotes in words": 'msg="' + 'a" ' * MAX_LINE,
    "open quotes": "level=info " + 'a="b ' * MAX_LINE,
    "open braces": "{" * MAX_LINE * 4,
    "deep JSON": '{"a":' + "[" * 50_000 + "]" * 50_000 + "}",
    "a huge number": '{"msg":' + "9" * 2 * MAX_LINE + "}",
}


@pytest.mark.parametrize("case", TWISTED)
def test_long_and_twisted_lines_cost_no_time_and_are_cut(case: str) -> None:
    before = time.process_time()
    line = read(TWISTED[case])
    assert time.process_time() - before < 0.5
    assert len(line.raw) <= MAX_LINE
    assert line.raw.endswith("characters)")


def test_a_long_json_line_is_read_before_it_is_cut() -> None:
    line = read(json.dumps({"level": "info", "blob": "x" * MAX_LINE * 2, "msg": "the end"}))
    assert (line.format, line.message) == ("json", "the end")
    assert len(line.field("blob")) <= MAX_LINE


LOGS = sorted([*RECORDINGS.glob("*/logs/**/*.log"), *(RECORDINGS / "log-formats").glob("*.log")])


def test_every_recorded_line_has_level_and_message() -> None:
    assert LOGS
    lines = [(raw, read(raw)) for path in LOGS for raw in recorded(path)]
    assert len(lines) > 20_000
    for raw, line in lines:
        assert line.message, raw
        assert line.level in LEVELS - {""}, raw
        assert line.format == ("json" if raw.startswith(b"{") else "logfmt")
        assert line.raw == raw.decode()


def test_one_recorded_log_may_mix_formats() -> None:
    formats = {read(raw).format for raw in recorded(RECORDINGS / "log-formats/operator-json.log")}
    assert formats == {"logfmt", "json"}


pieces = st.sampled_from(
    [
        "level=info ",
        "msg=",
        '"',
        "\\",
        "=",
        " ",
        "{",
        "}",
        ":",
        ",",
        "\\x1b",
        "\x1b",
        "I1123 04:15:41",
    ]
)
garbage = st.lists(st.one_of(st.text(), pieces)).map("".join)


@given(st.one_of(garbage, st.binary(), garbage.map(lambda text: text.encode("utf-8", "replace"))))
def test_no_input_raises_and_everything_that_comes_out_is_printable(raw: str | bytes) -> None:
    line = read(raw)
    texts = [
        line.message,
        line.module,
        line.component,
        *(part for pair in line.fields for part in pair),
    ]
    for text in (*texts, line.raw):
        assert printable(text) == text
        assert "\n" not in text
    assert all("\t" not in text for text in texts)
    assert line.level in LEVELS
    assert line.time == TIME
    accessors = (line.service, line.pool, line.peer, line.node, line.address)
    assert all(isinstance(value, str) for value in accessors)


names = st.text("abcXYZ_-.", min_size=1).filter(
    lambda name: (
        name not in {"time", "ts", "level", "msg", "message", "module", "subsys", "component"}
    )
)


@given(st.dictionaries(names, st.text(st.characters(exclude_categories=("C", "Z")), max_size=20)))
def test_what_go_quotes_comes_back(fields: dict[str, str]) -> None:
    written = " ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()
    )
    assert read(f"level=info msg=m {written}").fields == tuple(fields.items())
    assert read(json.dumps({"level": "info", "msg": "m"} | fields)).fields == tuple(fields.items())
