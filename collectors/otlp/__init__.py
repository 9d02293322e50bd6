"""The telemetry receiver: OTLP/HTTP bodies in, spans in the language of the stages out.

A body passes ``body`` (limits and compression), ``protobuf`` or ``json_format`` (bytes to raw
spans, one at a time, so that a bad span costs only itself), ``dialects`` and ``normalise`` (from
what instrumentations write to what we mean). Later ``settle`` turns the spans of a trace into
observations. ``receive`` runs the first part, ``answer`` writes what the sender is told.

Specification: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""
