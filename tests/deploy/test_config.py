"""The deployment's parameters: the defaults of E050, and every fault of a file told at once."""

import re

import pytest

from deploy import cost, scaling
from deploy.config import Config, load_config, read_config
from deploy.errors import ConfigFault
from tests.deploy.conftest import ROOT

pytestmark = pytest.mark.door("file")


def test_E050_the_parameters_and_their_defaults():
    """Each parameter of the sample is there, with its default."""
    config = load_config(None)
    assert set(Config.model_fields) >= {
        "CDK_APP_NAME", "VPC_CIDR", "RESOURCE_TAGS", "EDGE_CONFIG", "AHLI_CONFIG", "S3_CONFIG", "DB_CONFIG",
        "LAMBDA_CONFIG",
    }  # fmt: skip
    assert config.VPC_CIDR == "10.10.0.0/22"
    ahli, db = config.AHLI_CONFIG, config.DB_CONFIG
    assert (ahli.ahli_enabled, ahli.ahli_endpoint, ahli.ahli_concurrent_imports) == (True, "", 100)
    assert (db.db_name, db.db_engine_pause, db.max_acu_capacity) == ("iep", 20, 64)
    assert config.S3_CONFIG.s3_acceleration is False
    assert config.LAMBDA_CONFIG.timeout > 0 < config.LAMBDA_CONFIG.memory


def test_E050_the_original_capacities_are_understood():
    """A configuration of the sample, which counted capacity as ACU_8, is read as it is."""
    config = read_config({"DB_CONFIG": {"min_acu_capacity": "ACU_8", "max_acu_capacity": "ACU_64"}})
    assert (config.DB_CONFIG.min_acu_capacity, config.DB_CONFIG.max_acu_capacity) == (8, 64)


def test_E050_the_example_is_a_configuration():
    """The file that people copy is read without a fault."""
    assert [edge.Name for edge in load_config(ROOT / "deploy" / "example.toml").EDGE_CONFIG] == ["lab1", "lab2"]


def test_E021_E051_E055_every_fault_is_told_at_once():
    """Ten faults of all kinds in one file give ten lines, those between parameters among them."""
    with pytest.raises(ConfigFault) as caught:
        read_config(
            {
                "CDK_APP_NAME": "1-starts-with-a-digit",
                "REGION": "eu-central-1",
                "VPC_CIDR": "10.10.0.0/30",
                "RESOURCE_TAGS": {f"tag{n}": "x" for n in range(51)} | {"aws:x": "reserved"},
                "EDGE_CONFIG": [{"Name": "lab1"}, {"Name": "lab1"}, {"Name": "../etc"}],
                "AHLI_CONFIG": {"ahli_concurrent_imports": 0},
                "DB_CONFIG": {"max_acu_capacity": 0.3},
                "LAMBDA_CONFIG": {"memory": "much"},
                "TYPO": 1,
            }
        )
    told = str(caught.value)
    for word in (
        "CDK_APP_NAME", "REGION: eu-central-1", "VPC_CIDR", "52 tags", "not aws:", "lab1 stands twice", "'../etc'",
        "ahli_concurrent_imports", "max_acu_capacity", "LAMBDA_CONFIG.memory", "TYPO",
    ):  # fmt: skip
        assert word in told, told


@pytest.mark.parametrize(
    ("region", "imports", "accepted"),
    [("us-east-1", 100, True), ("ap-southeast-2", 20, True), ("ap-southeast-2", 21, False), ("eu-west-1", 101, False)],
)
def test_E043_E055_a_region_bounds_the_imports(region, imports, accepted):
    """No more import jobs at once are asked for than the region runs."""
    values = {"REGION": region, "AHLI_CONFIG": {"ahli_concurrent_imports": imports}}
    if accepted:
        assert region == read_config(values).REGION
        return
    with pytest.raises(ConfigFault, match="at once at most"):
        read_config(values)


def test_E050_a_machine_wants_its_whole_place():
    """Half an EC2_CONFIG is told with what is missing; public addresses and machines without Greengrass are refused."""
    with pytest.raises(ConfigFault, match=r"set subnet_id, ami, sender_cidr too"):
        read_config({"EC2_CONFIG": {"vpc_id": "vpc-0a1b0a1b"}})
    place = {"vpc_id": "vpc-0a1b0a1b", "subnet_id": "subnet-0a1b0a1b", "ami": "ami-0a1b0a1b"}
    for cidr, more, told in (
        ("0.0.0.0/0", {}, "private addresses"),
        ("mars", {}, "no IPv4 network"),
        ("10.1.0.0/16", {"GREENGRASS_CONFIG": {"enabled": False}}, "installed by Greengrass"),
    ):
        with pytest.raises(ConfigFault, match=told):
            read_config({"EC2_CONFIG": {**place, "sender_cidr": cidr}, **more})
    config = {"EC2_CONFIG": {**place, "sender_cidr": "10.1.0.0/16"}}
    assert read_config(config).EC2_CONFIG.spool_gb == 200
    with pytest.raises(ConfigFault, match="a machine has one of its own"):
        read_config({**config, "RESOURCE_TAGS": {f"tag{n}": "x" for n in range(50)}})
    with pytest.raises(ConfigFault, match="dicom-edge-installed is put on a role"):
        read_config({"RESOURCE_TAGS": {"dicom-edge-installed": "no"}})


@pytest.mark.parametrize("content", [None, b"not toml [", b"\xff\xfe"])
def test_E050_a_file_that_cannot_be_read_is_named(tmp_path, content):
    """A missing file, one that is no TOML, and one that is no text are each told with their name."""
    file = tmp_path / "config.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigFault, match=r"config\.toml"):
        load_config(file)


README = (ROOT / "deploy" / "README.md").read_text()


def number(text):
    """A number of the page, or the sum that is written there."""
    text = text.replace(",", "").replace("**", "").replace("$", "").strip()
    assert re.fullmatch(r"[0-9.+*/() e-]+", text), text
    return float(eval(text))  # noqa: S307  digits and signs only


def rows_of(title):
    """The rows of one table of the page: the cells of each."""
    part = README.partition(f"| {title} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()[2:]]


@pytest.mark.parametrize("title", ["1,000 studies", "each month"])
def test_each_sum_of_the_cost_tables_follows_from_what_is_printed_beside_it(title):
    """The page is what its script prints; read as text, units are the sum that is shown, dollars units times the price,
    the last line their total, and no price says that it was compared with AWS's list without a day.
    """
    assert cost.page() in README
    *lines, total = rows_of(title)
    assert len(lines) >= 8
    for what, how, price, checked, dollars, _ in lines:
        shown, _, units = how.rpartition(" = ")
        each, _, per = price.partition("/")
        assert number(shown) == pytest.approx(number(units.split()[0])), what
        assert number(dollars) == pytest.approx(number(each) / number(per) * number(shown), abs=0.00501), what
        assert checked == "no" or re.fullmatch(r"\d{4}-\d\d-\d\d", checked)
    assert number(total[4]) == pytest.approx(sum(number(line[4]) for line in lines))
    assert "not compared with AWS's price list" in README
    assert cost.AS_OF in README.partition("### Cost")[2]


def test_E043_the_scaling_tables_are_what_their_arithmetic_gives():
    """The page is what its script prints; the loads are worked out again by hand for the largest fleet, and the limits
    that are parameters of ours are those parameters' defaults.
    """
    assert scaling.page() in README
    used = {limit.what: share for share, limit in scaling.shares(scaling.Size(1_000, 100_000))}
    a_second = 100_000 * 3 / 86_400
    assert used == {
        "role aliases": 1_000 / 100,
        "roles": 1_012 / 1_000,
        "policies": 1_000 / 1_500,
        "stacks": 2_008 / 2_000,
        "import starts a second": pytest.approx(a_second),
        "import jobs at once": pytest.approx(a_second * 60 / 100),
        "batches indexed at once": pytest.approx(a_second * (400 / 40 * 0.3 + 5) / 100),
        "status messages a second": pytest.approx(1_000 / 60 / 2_000),
    }
    firsts = [scaling.shares(size)[0] for size in scaling.SIZES]
    assert [share > 1 for share, _ in firsts] == [False, False, False, True, True]
    assert scaling.SIZES[0] == (1, 10)
    assert scaling.SIZES[-1] == (1_000, 100_000)
