-- Let a gallery have a second lineage, for another comparator: its shadow until it is switched to.
-- KEYS[2]: lineages that are still to be purged, the new one among them until now.
-- ARGV: lineage, digest in force and bytes of its embeddings, settings (JSON), digest and bytes of
--       an embedding of the new one, whether to switch by itself ('' or 1) and to leave some behind
--       then ('' or 1).
if not lineage then return unknown_gallery() end
if shadow then
  return refused('MIGRATIONCONFLICT', 'the gallery has a migration already')
end
if redis.call('HGET', root, 'digest') ~= ARGV[2] then
  return refused('MIGRATIONCONFLICT', 'the comparator of the gallery has just changed')
end
local enrolled = redis.call('HGET', root, 'samples') ~= '0'
if not originals
  or (enrolled and redis.call('ZCARD', under(originals) .. 'identities') == 0) then
  return refused('ORIGINALSMISSING', 'the gallery keeps no samples')
end
if redis.call('SREM', KEYS[2], ARGV[1]) == 0 then
  return refused('MIGRATIONCONFLICT', 'a service that started meanwhile has swept it away')
end

redis.call('HSETNX', root, 'width', ARGV[3])
redis.call('HSET', root, 'shadow', ARGV[1], 'shadow_settings', ARGV[4], 'shadow_digest', ARGV[5],
  'shadow_width', ARGV[6], 'shadow_samples', 0)
redis.call('UNLINK', migration)
redis.call('HSET', migration, 'after', ARGV[1], 'started', now(), 'cursor', 0, 'passed', '',
  'auto', ARGV[7], 'leave_behind', ARGV[8])
