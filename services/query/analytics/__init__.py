"""Figures about all leads, from the sums that the scorer keeps: none of them reads leads, events or ledgers."""
