"""Change specs in every way their schema allows, and in ways it does not, on live objects; put them back; compare.

After Acto (SOSP 2023). `values` makes values from the CRDs, `subjects` says what they are tried on, `probes` orders
them into sequences, `playing` carries a sequence out, `judging` says what is wrong.
"""
