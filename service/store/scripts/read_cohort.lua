-- Return {identities, embeddings, calibration, at} of the gallery's own strangers; nils when it
-- has none, and no calibration or time (ms) where it was written before there were any.
-- ARGV: lineage.
if not lineage then return unknown_gallery() end
if lineage ~= ARGV[1] then return refused('OUTOFSTEP', 'the gallery was made anew') end
return redis.call('HMGET', below .. 'cohort', 'identities', 'embeddings', 'calibration',
  'at')
