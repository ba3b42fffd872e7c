"""Attacks on fedvox's own promise: what do updates tell of who took part, and of their images?"""
