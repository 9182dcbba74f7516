-- Replace the gallery's own strangers, and what is known of scores among its like.
-- ARGV: log length, model digest, bytes of one embedding, identities, embeddings, calibration
--       (JSON, or '' for the bundle's).
local log_length, digest = ARGV[1], ARGV[2]
if not lineage then return unknown_gallery() end

local refusal = mismatch(digest, tonumber(ARGV[3]))
if refusal then return refusal end

redis.call('HSETNX', root, 'width', ARGV[3])
redis.call('HSET', below .. 'cohort', 'identities', ARGV[4], 'embeddings', ARGV[5],
  'calibration', ARGV[6], 'at', now())
local change = append(log_length, 'cohort', 0, {})
erased()
return change
