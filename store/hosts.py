"""The machines that anything was measured on."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, insert, select

from autorag.hardware import HardwareProfile
from store.repositories import Repository
from store.tables import hosts


class HostRepository(Repository):
    """Hardware profiles by fingerprint, with what each machine cannot count."""

    def record(self, profile: HardwareProfile, capabilities: Mapping[str, str | None]) -> None:
        """Record a machine, in place of what was recorded of it before.

        Args:
            capabilities: counter → why it cannot be had, None where it can.
        """
        row = {
            "fingerprint": profile.fingerprint,
            "profile": profile.to_json(),
            "capabilities": dict(capabilities),
            "recorded_at": int(self._clock.time()),
        }
        same = hosts.c.fingerprint == profile.fingerprint
        with self._transaction("the machine could not be recorded") as connection:
            connection.execute(delete(hosts).where(same))
            connection.execute(insert(hosts), row)

    def profile(self, fingerprint: str) -> HardwareProfile | None:
        """The profile of a machine, None when it is not known."""
        wanted = select(hosts.c.profile).where(hosts.c.fingerprint == fingerprint)
        with self._reading() as connection:
            row = connection.scalar(wanted)
        return HardwareProfile.from_json(row) if row is not None else None
