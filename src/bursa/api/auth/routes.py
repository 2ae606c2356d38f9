"""All routes of accounts but those of admins, over one desk."""

from litestar.handlers import BaseRouteHandler

from bursa.accounts.parts import Accounts
from bursa.api.auth.desk import Desk
from bursa.api.auth.exchange import Exchange
from bursa.api.auth.plugin import Plugin
from bursa.api.auth.portal import Portal
from bursa.api.auth.signing import Signing
from bursa.api.services import Services


def routes(services: Services, accounts: Accounts) -> list[BaseRouteHandler]:
    """What the application serves of them."""
    desk = Desk(services, accounts)
    return [
        route
        for part in (Exchange(desk), Signing(desk), Portal(desk), Plugin(desk))
        for route in part.routes()
    ]
