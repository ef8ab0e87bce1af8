"""The scenes of the journeys, which serve here, too."""

from tests.journeys.conftest import *  # noqa: F403  pytest finds fixtures by their names
