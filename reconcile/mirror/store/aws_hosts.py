"""The host names of S3 at AWS: which region and domain they belong to, and what they name. Pure."""

import re
from typing import Final

from msgspec import Struct

_DEFAULT_REGIONS: Final = {
    "amazonaws.com": "us-east-1",
    "amazonaws.com.cn": "cn-north-1",
    "amazonaws.eu": "eusc-de-east-1",
    "c2s.ic.gov": "us-iso-east-1",
    "sc2s.sgov.gov": "us-isob-east-1",
    "cloud.adc-e.uk": "eu-isoe-west-1",
    "csp.hci.ic.gov": "us-isof-south-1",
}
"""The region of hosts that name none, by the domain of each partition of AWS."""

_REGION: Final = r"(?:[a-z]{2}|eusc)(?:-[a-z]+)+-\d+"
_HOST: Final = re.compile(
    r"(?:(?P<owner>[a-z0-9._-]+)\.)?"
    r"(?P<service>s3|s3-fips|s3-accelerate|s3-external-1|s3-accesspoint|s3-accesspoint-fips"
    r"|s3-(?:website|control|object-lambda|outposts|global)(?:-fips)?|s3express-[a-z0-9-]+?)"
    r"(?:\.dualstack)?"
    rf"(?:[.-](?P<region>{_REGION}))?"
    r"(?P<vpc>\.vpce)?"
    rf"\.(?P<domain>{'|'.join(map(re.escape, _DEFAULT_REGIONS))})"
)
_VPC_ENDPOINT: Final = re.compile(r"(?:(?P<owner>[a-z0-9.-]+)\.)?(?P<kind>[a-z]+)\.vpce-[a-z0-9-]+")
_OBJECT_SERVICES: Final = frozenset(
    {"s3", "s3-fips", "s3-accelerate", "s3-external-1", "s3-accesspoint", "s3-accesspoint-fips"}
)


class AwsHost(Struct, frozen=True):
    """A host name of S3 at AWS.

    Attributes:
        service: `s3`, or a variant such as `s3-fips`.
        owner: The bucket or access point that the host belongs to; empty if it serves all.
        region: The region in the name; empty if it has none.
        domain: The domain of the partition, such as `amazonaws.com.cn`.
        vpc_kind: `bucket` or `accesspoint` for an interface endpoint of a VPC, otherwise empty.
    """

    service: str
    owner: str
    region: str
    domain: str
    vpc_kind: str = ""

    @property
    def default_region(self) -> str:
        """The region for which requests are signed where no other is set."""
        return self.region or _DEFAULT_REGIONS[self.domain]

    @property
    def is_for_objects(self) -> bool:
        """Whether it accepts the requests of the mirror; websites and control planes do not."""
        return self.service in _OBJECT_SERVICES and self.vpc_kind != "control"

    @property
    def is_accelerated(self) -> bool:
        """Whether it is the endpoint of transfer acceleration."""
        return self.service == "s3-accelerate"

    @property
    def is_global(self) -> bool:
        """Whether it is the one name for all regions, which serves only the oldest ones."""
        return self.service == "s3" and not self.region and not self.vpc_kind

    @property
    def names_access_point(self) -> bool:
        """Whether the name of an access point is in the host."""
        return bool(self.owner) and self.service.startswith("s3-accesspoint")


def parse_aws_host(hostname: str) -> AwsHost | None:
    """Return what a host name says; None if it does not belong to S3 at AWS."""
    match = _HOST.fullmatch(hostname.lower())
    if match is None:
        return None
    service, owner, region, domain = match.group("service", "owner", "region", "domain")
    kind = ""
    if match["vpc"]:
        vpc = _VPC_ENDPOINT.fullmatch(owner or "")
        owner, kind = vpc.group("owner", "kind") if vpc else ("", "bucket")
    return AwsHost(service, owner or "", region or "", domain, kind)
