"""Names that people, devices and other stacks look for; whatever is not here, CloudFormation names."""

from dataclasses import dataclass

#: On the role of an EC2 machine that has become a core: its rights to make one have ended.
INSTALLED_TAG = "dicom-edge-installed"


@dataclass(frozen=True, slots=True)
class Names:
    """Names that follow from the stack's name."""

    stack: str

    def part(self, noun: str) -> str:
        """Return the name of the stack that holds ``noun``. The store's is the bare name: users look for its bucket."""
        return f"{self.stack}-{noun}"

    @property
    def any_thing(self) -> str:
        """Every thing of the stack, as a pattern in an ARN."""
        return f"{self.stack}-*"

    @property
    def database(self) -> str:
        """The Aurora cluster."""
        return f"{self.stack}-iepauroradb".lower()

    @property
    def ingest_queue(self) -> str:
        """The queue up from all edges."""
        return f"{self.stack}-ingest"

    @property
    def thing_group(self) -> str:
        """The thing group of the fleet."""
        return f"{self.stack}-IEP-devices"

    @property
    def device_policy(self) -> str:
        """The IoT policy that each device's certificate has."""
        return f"{self.stack}-IEP-device-policy"

    @property
    def component(self) -> str:
        """The Greengrass component."""
        return f"{self.stack}-DIMSEtoS3"

    @property
    def installer_role(self) -> str:
        """The role of a person or machine that installs an edge."""
        return f"{self.stack}-GGInstallerRole"

    def function(self, verb: str) -> str:
        """Return the name of a function."""
        return f"{self.stack}-{verb}"

    @staticmethod
    def edge_role(thing: str) -> str:
        """Return the role of one edge."""
        return f"{thing}-GG-Role"

    @staticmethod
    def role_alias(thing: str) -> str:
        """Return the alias by which the edge asks for its role."""
        return f"{thing}-GG-Role-Alias"

    @staticmethod
    def down_queue(thing: str) -> str:
        """Return the queue down to one edge; ``{EdgeId}`` in its place makes the ingester's template."""
        return f"{thing}-down"
