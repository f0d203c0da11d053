"""The part of the compose specification that `docker-compose.yml` uses; whatever else is a mistake or belongs here.

The specification's own JSON schema would have to be fetched, and knows neither our images nor our commands.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Duration = Annotated[str, Field(pattern=r"^(\d+(ms|s|m|h))+$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
Command = Annotated[list[str], Field(min_length=1)]


def _pinned(image: str) -> str:
    """An image by name and version: `latest` is another one tomorrow."""
    name, colon, tag = image.rpartition(":")
    if not colon or not name or "/" in tag or not any(letter.isdigit() for letter in tag):
        raise ValueError(f"{image} names no version")
    return image


class Strict(BaseModel):
    """Refuses a key that it does not know."""

    model_config = ConfigDict(extra="forbid", strict=True)


class HealthCheck(Strict):
    """How a container is asked whether it is well; or that it cannot be."""

    test: Command | None = None
    interval: Duration | None = None
    timeout: Duration | None = None
    start_period: Duration | None = None
    retries: int | None = Field(default=None, ge=1)
    disable: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> HealthCheck:
        if self.disable == (self.test is not None):
            raise ValueError("either a test or `disable: true`")
        if self.test is not None and self.test[0] not in {"CMD", "CMD-SHELL"}:
            raise ValueError("a test begins with CMD or CMD-SHELL")
        return self


class Dependency(Strict):
    """What another service must have reached."""

    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Service(Strict):
    """One container, or several alike."""

    image: Annotated[str, AfterValidator(_pinned)]
    build: str | None = None
    init: bool = False
    restart: Annotated[str, Field(pattern=r"^(no|always|unless-stopped|on-failure(:\d+)?)$")]
    entrypoint: Command | None = None
    command: Command | None = None
    environment: dict[str, str | int | bool] = Field(default_factory=dict)
    ports: list[Annotated[str, Field(pattern=r"^(\d+\.\d+\.\d+\.\d+:)?\d+:\d+$")]] = Field(default_factory=list)
    volumes: list[Annotated[str, Field(pattern=r"^(\./)?[a-z0-9./-]+:/[a-z0-9./_-]+(:ro)?$")]] = Field(
        default_factory=list
    )
    depends_on: dict[Name, Dependency] = Field(default_factory=dict)
    healthcheck: HealthCheck | None = None
    stop_grace_period: Duration | None = None
    shm_size: Annotated[str, Field(pattern=r"^\d+(kb|mb|gb)$")] | None = None


class Compose(BaseModel):
    """The whole file; blocks that begin with `x-` are compose's own place for what services share."""

    model_config = ConfigDict(extra="allow", strict=True)

    name: Name
    services: dict[Name, Service]
    volumes: dict[Name, dict[str, str]]

    @model_validator(mode="after")
    def _holds_together(self) -> Compose:
        for extra in self.model_extra or {}:
            if not extra.startswith("x-"):
                raise ValueError(f"{extra} is no part of the file that we use")
        for name, service in self.services.items():
            for other, dependency in service.depends_on.items():
                if other not in self.services:
                    raise ValueError(f"{name} depends on {other}, which does not exist")
                check = self.services[other].healthcheck
                if dependency.condition == "service_healthy" and (check is None or check.disable):
                    raise ValueError(f"{name} waits for the health of {other}, which has no check")
                ends = self.services[other].restart in {"no"} or self.services[other].restart.startswith("on-failure")
                if dependency.condition == "service_completed_successfully" and not ends:
                    raise ValueError(f"{name} waits for the end of {other}, which is always started again")
            for volume in service.volumes:
                source = volume.partition(":")[0]
                if not source.startswith("./") and source not in self.volumes:
                    raise ValueError(f"{name} mounts {source}, which is not declared")
        return self
