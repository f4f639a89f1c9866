"""Photographs and clips of tickets held to a camera, drawn from a seed: the same seed gives the same pixels."""
