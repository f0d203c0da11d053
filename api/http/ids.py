"""Ids in paths, under the names that those who call know them by."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Path

JobId = Annotated[UUID, Path(alias="jobId")]
ConversationId = Annotated[UUID, Path(alias="conversationId")]
LinkId = Annotated[UUID, Path(alias="linkId")]
ConnectionId = Annotated[UUID, Path(alias="connectionId")]
ModelId = Annotated[UUID, Path(alias="modelId")]
TopicName = Annotated[str, Path(alias="topicName")]
TemplateId = Annotated[UUID, Path(alias="templateId")]
ClassificationId = Annotated[UUID, Path(alias="classificationId")]
WebhookId = Annotated[UUID, Path(alias="webhookId")]
FileId = Annotated[str, Path(alias="fileId", max_length=64, description="`file-` and 32 digits.")]
BatchId = Annotated[str, Path(alias="batchId", max_length=64, description="`batch_` and 32 digits.")]
DeliveryId = Annotated[UUID, Path(alias="deliveryId")]
