"""Takes what Segment's SDKs send: their calls become events and profiles of leads.

`calls` knows how they are written, `names`, `times` and `profiles` what their parts become, `facts` puts those
together; `keys` and `origins` say who may, `answers` what is answered, and `service` does it in that order.
"""
