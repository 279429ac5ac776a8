import logging
import os

from rtvi_plugins import Secret
from rtvi_plugins.hosting import Host, Limits
from rtvi_plugins.security import LogFormatter, quiet_http_clients
from rtvi_plugins_server import create_app

from bot import receptionist

host = Host(
    receptionist,
    operator_secret=Secret(os.environ["RTVI_OPERATOR_SECRET"]),
    limits=Limits(sessions=200, session_seconds=900, idle_seconds=120, rate=200, burst=400),
)

app = create_app(
    host,
    origins=["https://hotel.example"],
    allowed_hosts=["bots.hotel.example"],
    public_url="https://bots.hotel.example",
)

handler = logging.StreamHandler()
handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
logging.basicConfig(level="INFO", handlers=[handler])
quiet_http_clients()
