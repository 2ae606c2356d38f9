"""All routes of admins, over one office."""

from litestar.handlers import BaseRouteHandler

from bursa.accounts.parts import Accounts
from bursa.api.admin.audit import Audited
from bursa.api.admin.hd import HdGates
from bursa.api.admin.imports import Lists
from bursa.api.admin.office import Office
from bursa.api.admin.people import People
from bursa.api.admin.plans import Plans
from bursa.api.services import Services


def routes(services: Services, accounts: Accounts) -> list[BaseRouteHandler]:
    """What the application serves of them."""
    office = Office(services, accounts)
    parts = (People(office), Plans(office), HdGates(office), Audited(office), Lists(office))
    return [route for part in parts for route in part.routes()]
