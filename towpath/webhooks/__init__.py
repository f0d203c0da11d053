"""Endpoints, deliveries, attempts and their signatures."""
