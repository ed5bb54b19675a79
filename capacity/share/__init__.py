"""Trained models for others: folders that transformers loads alone, with a card, their data sets, and their upload."""
