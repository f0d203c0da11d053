"""Receivers, targets of jobs, and deliveries: queued in the transaction of the event that they tell of."""
