"""A strict reader of Prometheus' text format 0.0.4: it takes less than Prometheus does, so what it takes is right."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace

_NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
_HELP = re.compile(rf"# HELP ({_NAME}) (\S[^\\\n]*)")
_TYPE = re.compile(rf"# TYPE ({_NAME}) (counter|gauge|histogram)")
_LABEL = re.compile(rf'({_NAME})="((?:[^"\\\n]|\\[\\"n])*)"')
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (\S+)")
_SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def read(raw):
    """All metrics in *raw* by name: ``kind``, ``help`` and ``samples``, {(suffix, labels as a sorted tuple): value}."""
    text = raw.decode("utf-8")
    assert text.endswith("\n"), "the last line has no end"
    metrics, current, helped = {}, None, None
    for line in text[:-1].split("\n"):
        if match := _HELP.fullmatch(line):
            assert match[1] not in metrics, f"{match[1]} comes twice"
            helped = match
        elif match := _TYPE.fullmatch(line):
            assert helped, f"TYPE without HELP: {line}"
            assert helped[1] == match[1], f"TYPE of another: {line}"
            current, said, helped = match[1], helped[2], None
            metrics[current] = SimpleNamespace(kind=match[2], help=said, samples={})
        else:
            assert helped is None, f"HELP without TYPE before {line}"
            _sample(line, current, metrics)
    for name, metric in metrics.items():
        _check(name, metric)
    return metrics


def _sample(line, current, metrics):
    match = _SAMPLE.fullmatch(line)
    assert match, f"no sample: {line}"
    assert current, f"a sample before its TYPE: {line}"
    metric = metrics[current]
    suffix = match[1].removeprefix(current)
    assert match[1].startswith(current), f"not of {current}: {line}"
    assert suffix in _SUFFIXES[metric.kind], f"not of a {metric.kind}: {line}"
    key = suffix, _labels(match[2], line)
    assert key not in metric.samples, f"twice: {line}"
    value = float(match[3])
    assert not math.isnan(value)
    metric.samples[key] = value


def _labels(text, line):
    if text is None:
        return ()
    found, rest = [], f",{text}"
    while rest:
        match = _LABEL.match(rest, 1)
        assert match, f"labels that cannot be read: {line}"
        assert rest[0] == ",", f"no comma: {line}"
        found.append((match[1], re.sub(r"\\(.)", lambda one: {"n": "\n"}.get(one[1], one[1]), match[2])))
        rest = rest[match.end() :]
    assert len({name for name, _ in found}) == len(found), f"a label twice: {line}"
    return tuple(sorted(found))


def _check(name, metric):
    assert metric.samples, f"{name} has no samples"
    assert (metric.kind == "counter") == name.endswith("_total"), f"{name} is a {metric.kind}"
    if metric.kind != "gauge":
        assert all(value >= 0 for value in metric.samples.values()), f"{name} is negative"
    if metric.kind == "histogram":
        _check_histogram(name, metric.samples)


def _check_histogram(name, samples):
    series = {}
    for (suffix, labels), value in samples.items():
        rest = tuple(one for one in labels if one[0] != "le")
        of = series.setdefault(rest, SimpleNamespace(buckets=[], ends={}))
        if suffix == "_bucket":
            of.buckets.append((float(dict(labels)["le"]), value))
        else:
            of.ends[suffix] = value
    for of in series.values():
        bounds, counts = zip(*of.buckets, strict=True)
        assert list(bounds) == sorted(set(bounds)), f"{name}: buckets out of order"
        assert bounds[-1] == math.inf, f"{name}: no bucket for all"
        assert list(counts) == sorted(counts), f"{name}: buckets are not cumulated"
        assert of.ends == {"_sum": of.ends["_sum"], "_count": counts[-1]}, f"{name}: count and buckets differ"


def value(metrics, name, suffix="", **labels):
    """The value of one sample."""
    return metrics[name].samples[suffix, tuple(sorted(labels.items()))]
