"""UDF's answers are of the shapes that OpenAPI publishes: each is decoded strictly."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from bursa.api.udf import shapes as udf_shapes
from tests.running import wait_for
from tests.web.handbook import Site
from tests.web.market import some_days

FAR = 4_102_444_800


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("store")) as site:
        some_days(site.market)
        yield site


@pytest.mark.parametrize(
    ("question", "shape"),
    [
        ("config", udf_shapes.UdfConfig),
        ("symbols?symbol=BBCA", udf_shapes.UdfSymbol),
        ("search?query=b", list[udf_shapes.UdfFound]),
        ("symbol_info?group=IDX", udf_shapes.UdfSymbolInfo),
        (f"history?symbol=BBCA&resolution=5&to={FAR}&countback=9", udf_shapes.UdfHistory),
        ("history?symbol=BBCA&resolution=5&to=100", udf_shapes.UdfNoData),
        (f"history?symbol=BBCA&resolution=5&from={FAR - 9}&to={FAR}", udf_shapes.UdfNoData),
        ("quotes?symbols=BBCA,NIX,TLKM", udf_shapes.UdfQuotes),
        (f"marks?symbol=BBCA&resolution=1&from=0&to={FAR}", udf_shapes.UdfMarks),
        (
            f"timescale_marks?symbol=BBCA&resolution=1&from=0&to={FAR}",
            list[udf_shapes.UdfTimescaleMark],
        ),
    ],
)
def test_an_answer_is_as_published(site: Site, question: str, shape: Any) -> None:
    def found() -> Any:
        answer = site.get(f"/udf/{question}")
        assert answer.status == 200
        return msgspec.json.decode(answer.body, type=shape)

    wait_for(found, what="what is searched: names are learned a little after the start")


def test_the_schema_names_the_shapes(site: Site) -> None:
    paths = site.app.openapi_schema.to_schema()["paths"]
    for path, item in paths.items():
        if path.startswith("/udf/") and path != "/udf/time":
            content = item["get"]["responses"]["200"]["content"]
            assert "#/components/schemas/Udf" in str(content["application/json"]), path
    assert "text/plain" in paths["/udf/time"]["get"]["responses"]["200"]["content"]
