"""Which SDKs are driven, with which release of websockets. To add one, add a row and a driver."""

from __future__ import annotations

from typing import NamedTuple


class SDK(NamedTuple):
    """An SDK that is built on websockets."""

    requirement: str
    """What is installed."""

    driver: str
    """Program in ``drivers/`` that ends its connections."""

    websockets: str | None = None
    """Release to go to after that, where the SDK allows it but doesn't lead to it."""

    @property
    def name(self) -> str:
        """What the package index calls it."""
        return self.requirement.partition("==")[0].partition("[")[0]


SDKS = (
    SDK("hume==0.13.6", "hume_chat"),
    SDK("deepgram-sdk==3.8.0", "deepgram_listen"),
    SDK("openai[realtime]==3.54.0", "openai_ping"),
    SDK("openai[realtime]==3.54.0", "openai_async"),
    SDK("google-genai==1.20.0", "genai_live"),
    SDK("websockets==17.4", "asyncio_server"),
    SDK("openai[realtime]==1.66.0", "openai_events", "14.1"),
    SDK("uvicorn[standard]==0.54.0", "uvicorn_legacy", "16.1.1"),
    SDK("homeassistant-api==5.0.1", "homeassistant_events", "14.1"),
    SDK("soniox==2.10.0", "soniox_transcribe", "13.0.1"),
    SDK("assemblyai==1.8.2", "assemblyai_streaming", "12.0"),
    SDK("surrealdb==1.0.8", "surrealdb_query", "11.0.1"),
)

QUICK = ("hume_chat", "assemblyai_streaming", "openai_ping")
"""Those of the quickest that are about three bugs, on three releases."""
