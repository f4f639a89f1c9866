"""The Gate API's conformance suite: asks any maker's CRM, and says what of the contract it keeps.

The contract is docs/gate-api.md. Every check is a function that asks over the network and looks at what came back. The
client is one of its own and strict: a gate forgives, and would hide faults that another gate would not forgive.
"""
