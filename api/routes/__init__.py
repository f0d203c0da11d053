"""One route module a system; each validates, asks a store or the gateway, and shapes the answer."""
