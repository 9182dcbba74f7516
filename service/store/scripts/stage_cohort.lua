-- Keep the own strangers of a gallery that is being imported. KEYS[2]: as stage.lua has it.
-- ARGV: lineage, identities, embeddings, calibration (JSON, or '' for the bundle's).
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then
  return refused('IMPORTBROKEN', 'what was staged is not there any more')
end
below = under(ARGV[1])
redis.call('HSET', below .. 'cohort', 'identities', ARGV[2], 'embeddings', ARGV[3],
  'calibration', ARGV[4], 'at', now())
