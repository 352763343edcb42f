def run(context):
    raise NotImplementedError
