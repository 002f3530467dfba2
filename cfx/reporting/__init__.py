"""Figures, tables, the terminal summary and report.html, made from a run's files alone (torch is never
imported).
"""
