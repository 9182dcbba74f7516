-- Replace what a gallery decides by. ARGV: log length, edits that can be undone, settings that are
--       expected to be there, and those to be (JSON). Returns the change.
local log_length, most, before, after = unpack(ARGV)
if not lineage then return unknown_gallery() end
if shadow then return busy() end
if redis.call('HGET', root, 'settings') ~= before then
  return edit_conflict('the settings were changed at the same time')
end

next_edit('patch', 'settings', before, 'patched', after)
redis.call('HSET', root, 'settings', after)
local change = append(log_length, 'patch', 0, {})
keep_edit(most)
return change
