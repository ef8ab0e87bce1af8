"""The scenes of the journeys serve here, too."""

from tests.journeys.conftest import *  # noqa: F403  pytest finds fixtures by their names
