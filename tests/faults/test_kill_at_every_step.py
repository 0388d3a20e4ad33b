"""Rows 1 and I10: a kill at every step, the recovery's own steps among them, loses and doubles nothing."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.faults import state
from tests.faults.driver import Driver, Order
