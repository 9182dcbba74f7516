-- Return the edits that can be undone, the newest first, as JSON: {{version, operation, at, identity,
-- other, name, to, {sample, …}, settings, patched}, …}; identity and other by the names that they
-- have now, and whatever is not known as ''.
if not lineage then return unknown_gallery() end
local found = {}
for _, version in ipairs(redis.call('ZREVRANGE', edits, 0, -1)) do
  local edit, ids = record_of(version), {}
  for field in pairs(edit) do
    if is_sample(field) then ids[#ids + 1] = tonumber(field) end
  end
  table.sort(ids)
  local function name_at(number)
    return number and redis.call('HGET', identity_key(number), 'name') or ''
  end
  found[#found + 1] = {version, edit.operation, edit.at, name_at(edit.identity), name_at(edit.other),
    edit.name or '', edit.to or '', ids, edit.settings or '', edit.patched or ''}
end
return cjson.encode(found)
