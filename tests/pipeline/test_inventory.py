"""The inventory export: three tables, page by page, as JSON and as CSV that no spreadsheet runs."""

import csv
import io

import pytest

from cloud.pipeline.api.tokens import Group
from tests.pipeline.api import FILE, SCANS

pytestmark = pytest.mark.door("HTTP")
TABLE = "/pipeline/inventory/"


@pytest.fixture
def reader(api):
    """A token that may read only."""
    return api.token_for(Group.INVENTORY)


def filled(api, runs=5):
    """So many runs with two series each."""
    for n in range(runs):
        run = api.run()
        rows = [{"series_uid": f"1.2.{n}.{s}", "series_number": s, "number_of_instance": 3} for s in (1, 2)]
        body = {"pipeline_code": "amypet", "subject_event_crf_file_id": 101, "edc_pipeline_file_id": run}
        assert api.post(SCANS, **body, scans=[{"study_uid": "1.2", "series": rows}]).status_code == 200


def test_P055_every_row_is_given_once_page_by_page(api, reader):
    """JSON pages of three lead through all ten rows; CSV pages by their Link header through the same."""
    filled(api)
    found, after = [], 0
    while after is not None:
        page = api.get(f"{TABLE}edcpipelinefiledicom", reader, after=after, limit=3).json()
        found += page["data"]
        after = page["next"]
    assert [row["atriuid"] for row in found] == [f"{n}.{s}" for n in range(1, 6) for s in (1, 2)]
    texts, query = [], "?format=csv&limit=3"
    while query:
        answer = api.get(f"{TABLE}edcpipelinefiledicom{query}", reader)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        texts += list(csv.DictReader(io.StringIO(answer.text)))
        query = answer.links["next"]["url"] if "next" in answer.links else ""
    assert [row["atriuid"] for row in texts] == [row["atriuid"] for row in found]
    assert len(api.get(f"{TABLE}edcpipelinefile", reader).json()["data"]) == 5
    only = api.get(f"{TABLE}edcpipeline", reader, pipeline_code="mri").json()
    assert [row["code"] for row in only["data"]] == ["mri"]
    for table in ("edcpipelinefile", "edcpipelinefiledicom"):
        assert api.get(TABLE + table, reader, pipeline_code="mri").json()["data"] == []


def test_P055_no_cell_is_a_formula(api, reader):
    """A name that a spreadsheet would run begins with an apostrophe; quotes and line ends stay in their cell."""
    names = ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1", 'a "b", c', "plain.zip"]
    for name in names:
        api.run(file_name=name)
    rows = list(csv.DictReader(io.StringIO(api.get(f"{TABLE}edcpipelinefile", reader, format="csv").text)))
    assert [row["file_name"] for row in rows] == [f"'{name}" for name in names[:5]] + names[5:]


def test_P054_P055_only_readers_read(api, reader):
    """The bot may not export, a reader may not write, an unknown table and a page of a million are refused."""
    assert api.get(f"{TABLE}edcpipeline").status_code == 403
    assert api.post(FILE, reader, pipeline_code="amypet", subject_event_crf_file_id=101).status_code == 403
    for query in ("apitoken", "edcpipeline?limit=1000000", "edcpipeline?after=-1", "edcpipeline?format=xml"):
        refused = api.get(TABLE + query, reader)
        assert (refused.status_code, refused.json()["error_code"]) == (422, "ERRA1005")
