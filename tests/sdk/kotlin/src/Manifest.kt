private const val WHOLE = 4_294_967_296L

/** A bare manifest of `count` experiments with targeting, as JSON. */
fun manifest(version: Int, count: Int = 200, prefix: String = "arm"): String {
    val flags = (0 until count).joinToString(",") { at ->
        val condition = if (at % 2 == 0) {
            """{"all":[]}"""
        } else {
            """{"any":[{"op":"str_in","attr":"country","values":["NZ","DE","US"]},{"op":"num_gte","attr":"age","value":18},""" +
                """{"op":"str_in","attr":"tags","values":["x"]}]}"""
        }
        """"flag-$at":{"type":"string","off":"a","default":"a","variations":[{"key":"a","value":"$prefix-a"},{"key":"b","value":"$prefix-b"}],""" +
            """"rules":[{"id":"rule-$at","kind":"experiment","experiment":"experiment-$at","phase":1,"unit":"user_id","when":$condition,""" +
            """"traffic":{"hash":"murmur3_32","salt":"t$at","ranges":[[0,$WHOLE]]},""" +
            """"split":{"hash":"murmur3_32","salt":"s$at","ranges":[[0,${WHOLE / 2},"a"],[${WHOLE / 2},$WHOLE,"b"]]}}]}"""
    }
    return """{"schema":1,"environment":"e","audience":"server","generation":1,"version":$version,"issued_at_ms":0,"flags":{$flags}}"""
}
