"""Powertools for AWS Lambda: resolver, validation and idempotency around one handler, its records in a dictionary."""

import json
import os

os.environ.setdefault("POWERTOOLS_TRACE_DISABLED", "1")

from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyItemAlreadyExistsError,
    IdempotencyItemNotFoundError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.base import BasePersistenceLayer
from pydantic import BaseModel


class InMemory(BasePersistenceLayer):
    """Idempotency records in a dictionary."""

    def __init__(self):
        super().__init__()
        self.records = {}

    def _get_record(self, idempotency_key):
        try:
            return self.records[idempotency_key]
        except KeyError:
            raise IdempotencyItemNotFoundError from None

    def _put_record(self, data_record):
        if data_record.idempotency_key in self.records:
            raise IdempotencyItemAlreadyExistsError
        self.records[data_record.idempotency_key] = data_record

    def _update_record(self, data_record):
        self.records[data_record.idempotency_key] = data_record

    def _delete_record(self, data_record):
        del self.records[data_record.idempotency_key]


class Order(BaseModel):
    id: str
    sku: str
    qty: int = 1


app = APIGatewayRestResolver(enable_validation=True)
orders = {}
layer = InMemory()
config = IdempotencyConfig(
    event_key_jmespath='headers."Idempotency-Key"', payload_validation_jmespath="body", raise_on_no_idempotency_key=True
)


@app.post("/orders")
def create(order: Order) -> Order:
    orders[order.id] = order
    return order


class Context:
    """What the idempotency utility asks of a Lambda context."""

    function_name = "orders"

    @staticmethod
    def get_remaining_time_in_millis():
        return 30_000


@idempotent(persistence_store=layer, config=config)
def handler(event, context):
    return app.resolve(event, context)


def event(number):
    """API Gateway's event for one POST."""
    return {
        "resource": "/orders",
        "path": "/orders",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json", "Idempotency-Key": f"key-{number:08d}"},
        "multiValueHeaders": {},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": {},
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {"resourcePath": "/orders", "httpMethod": "POST", "path": "/orders", "stage": "prod"},
        "body": json.dumps({"id": f"order-{number:08d}", "sku": "boat-7", "qty": 3}),
        "isBase64Encoded": False,
    }


def invoke(number):
    """One invocation; anything but 200 is an error."""
    answer = handler(event(number), Context())
    assert answer["statusCode"] == 200, answer
