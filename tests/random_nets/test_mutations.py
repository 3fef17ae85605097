"""Random nets with mistakes in them: each is refused by a NetError, or still a net, within two seconds of work."""

from __future__ import annotations

from pathlib import Path

from generator import RandomNet, nets
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from mutations import mutated
from pace import within
from test_random_nets import NETS, SEED

import netdsl
from netdsl.ir.text import dump, parse_text

SECONDS = 2.0
LARGEST = 500
"""Layers up to which a net that a mistake made is compiled too."""


def test_mistakes_are_refused_and_nothing_else_happens(tmp_path: Path) -> None:
    refused = accepted = 0

    @seed(SEED)
    @settings(
        max_examples=NETS,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(nets(), st.binary(min_size=60, max_size=60))
    def run(net: RandomNet, entropy: bytes) -> None:
        nonlocal refused, accepted
        text = mutated(net.text, entropy)
        file = tmp_path / "net.net"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        for name, used in net.used.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(used, encoding="utf-8")
        with within(SECONDS):
            try:
                found = netdsl.load(file, **net.settings)
            except netdsl.NetError as error:
                refused += bool(str(error))
            else:
                accepted += 1
                if len(found.graph.nodes) <= LARGEST:
                    assert dump(parse_text(dump(found.graph))) == dump(found.graph)
                    found.summary(batch=3).to_dict()
                    found.compile()

    run()
    # Most mistakes are found, and some make another net.
    assert refused > accepted > 0
