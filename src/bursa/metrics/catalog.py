"""The catalogue: which metrics there are, and what follows from them.

Every module of families/ with a constant FAMILIES belongs to it; nothing is listed anywhere. What a
configuration adds (`metrics.extra`) are members of the same families with other parameters. Schema,
API, chart, rules and docs follow the catalogue that is in force.
"""

import importlib
import pkgutil
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property

from bursa.metrics import families
from bursa.metrics.metric import BAR_INPUTS, Family, Metric
from bursa.model.errors import Refuse
from bursa.model.schema import Kind, metrics_kind

_EXTRA_MAX = 64


class Catalogue:
    """Metrics in the order of their columns: families by the names of their files, the standard
    ones in the order of each, then extra ones in the order asked for."""

    def __init__(self, members: Iterable[tuple[Metric, Family]]) -> None:
        found = list(members)
        self.metrics: dict[str, Metric] = {metric.name: metric for metric, _ in found}
        self.family_of: dict[str, Family] = {metric.name: family for metric, family in found}
        self.owner: dict[str, Metric] = {
            column.name: metric for metric in self.metrics.values() for column in metric.columns
        }

    @cached_property
    def kind(self) -> Kind:
        """The kind `metrics`."""
        return metrics_kind(tuple(c for m in self.metrics.values() for c in m.columns))

    @cached_property
    def signature(self) -> str:
        """What an engine's state depends on."""
        return ";".join(metric.signature for metric in self.metrics.values())

    @cached_property
    def families(self) -> tuple[str, ...]:
        """The families' names, in order."""
        return tuple(dict.fromkeys(family.name for family in self.family_of.values()))

    def without(self, names: Collection[str]) -> "Catalogue":
        """The same less some metrics, of which no other one reads any."""
        left = [(metric, self.family_of[name]) for name, metric in self.metrics.items()]
        return Catalogue((metric, family) for metric, family in left if metric.name not in names)

    def find(self, name: str) -> Metric:
        """The metric of that name. Refuse `unknown_metric`."""
        metric = self.metrics.get(name)
        if metric is None:
            known = ", ".join(self.metrics)
            raise Refuse(f"metric={name!r} is none of {known}", "unknown_metric", 400, "metric")
        return metric

    def telling(self, family: str) -> frozenset[str]:
        """The columns that tell of a family: its metrics' own, and those of metrics that read them,
        directly or not."""
        found: set[str] = set()
        for metric in self.ordered():  # each behind what it reads
            own = self.family_of[metric.name].name == family
            if own or not found.isdisjoint(metric.inputs):
                found.update(column.name for column in metric.columns)
        return frozenset(found)

    def ordered(self, names: Iterable[str] | None = None) -> list[Metric]:
        """Metrics, and those whose columns they read, each behind what it reads. None: all."""
        found: dict[str, Metric] = {}
        for name in self.metrics if names is None else names:
            self._enter(self.find(name), found, ())
        return list(found.values())

    def _enter(self, metric: Metric, found: dict[str, Metric], above: tuple[str, ...]) -> None:
        if metric.name in above:
            raise ValueError(f"metrics read each other: {' <- '.join((*above, metric.name))}")
        if metric.name in found:
            return
        for name in metric.inputs:
            if name in BAR_INPUTS:
                continue
            if name not in self.owner:
                raise ValueError(f"{metric.name} reads {name}, which no metric or bar has")
            self._enter(self.owner[name], found, (*above, metric.name))
        found[metric.name] = metric


def discover() -> tuple[Family, ...]:
    """All families, by the names of their files."""
    names = sorted(module.name for module in pkgutil.iter_modules(families.__path__))
    modules = [importlib.import_module(f"{families.__name__}.{name}") for name in names]
    return tuple(family for module in modules for family in module.FAMILIES)


FAMILIES = discover()


def catalogue(extra: Sequence[str] = ()) -> Catalogue:
    """The standard metrics, `extra` ones and what these read, each once. Refuse `bad_metric` for a
    name that no family makes, or too many."""
    if len(extra) > _EXTRA_MAX:
        raise _bad(f"{len(extra)} metrics; at most {_EXTRA_MAX}")
    standard = [(metric, family) for family in FAMILIES for metric in family.metrics]
    names = {metric.name for metric, _ in standard}
    known = {*BAR_INPUTS, *(c.name for metric, _ in standard for c in metric.columns)}
    added: dict[str, tuple[Metric, Family]] = {}
    wanted = list(extra)
    for name in wanted:  # grows
        if name not in names:
            added[name] = made(name)
            wanted += (read for read in added[name][0].inputs if read not in known)
    order = {family.name: place for place, family in enumerate(FAMILIES)}
    members = standard + list(added.values())
    return Catalogue(sorted(members, key=lambda member: order[member[1].name]))


def made(name: str) -> tuple[Metric, Family]:
    """A metric by its name: `ema_9`. Refuse `bad_metric` says what is allowed."""
    for family in FAMILIES:
        head = f"{family.name}_"
        if family.make is None or not name.startswith(head):
            continue
        words = name[len(head) :].split("_")
        if len(words) != len(family.parameters) or not all(_plain(word) for word in words):
            continue
        numbers = [int(word) for word in words]
        for parameter, number in zip(family.parameters, numbers, strict=True):
            if not parameter.least <= number <= parameter.most:
                allowed = f"{parameter.least} to {parameter.most}"
                raise _bad(f"{name}: {parameter.name} {number}; allowed: {allowed}")
        try:
            return family.make(*numbers), family
        except ValueError as error:
            raise _bad(f"{name}: {error}") from None
    forms = ", ".join(
        "_".join((family.name, *(parameter.name.upper() for parameter in family.parameters)))
        for family in FAMILIES
        if family.make is not None
    )
    raise _bad(f"{name}; allowed: {forms}")


def _bad(what: str) -> Refuse:
    return Refuse(f"metrics.extra: {what}", "bad_metric", parameter="metrics.extra")


def _plain(word: str) -> bool:
    """A whole number without signs or leading zeros, so that a metric has one name."""
    return word.isascii() and word.isdigit() and len(word) < 19 and (word == "0" or word[0] != "0")


STANDARD = catalogue()
